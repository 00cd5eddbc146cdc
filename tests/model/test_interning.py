"""What many reports hold is there once, and never too much of it."""

from msgspec import structs

from smtpcheck.model.check import Phase
from smtpcheck.model.interning import MOST, _first, compact, shared
from smtpcheck.model.report import Attempt, Exchange, Outcome, Reply, Report, Step, TlsFacts


def report(text: str = "ready", at: float = 1.0) -> Report:
    banner = Step(Phase.BANNER, at, at, (Exchange("", Reply(220, "", (text,))),))
    return Report(
        "billing",
        at,
        at,
        Outcome.OK,
        (Step(Phase.DNS, at, at), banner),
        tls=TlsFacts("TLSv1.3", f"cipher of {text}", None),
        attempts=(Attempt("192.0.2.1", 4, None),),
    )


def parts(of: Report) -> list[int]:
    return [id(of.tls), id(of.attempts), *(id(step.exchanges) for step in of.steps)]


def test_equal_parts_are_one() -> None:
    one, two = compact(report(at=1.0)), compact(report(at=2.0))
    assert (one, two) == (report(at=1.0), report(at=2.0))
    assert parts(one) == parts(two)


def test_a_report_that_shares_all_with_the_one_before_stays_what_it_is() -> None:
    before = compact(report(at=1.0))
    steps = tuple(structs.replace(step, seconds=9.0) for step in before.steps)
    after = structs.replace(before, steps=steps)
    assert compact(after, before) is after


def test_a_report_that_differs_from_the_one_before_is_compacted() -> None:
    before = compact(report("yesterday"))
    for different in (
        report("today"),
        structs.replace(before, steps=report().steps),
        structs.replace(before, steps=before.steps[:1]),
    ):
        kept = compact(different, before)
        assert kept == different
        assert parts(kept) == parts(compact(different))


def test_sharing_never_grows_without_bound() -> None:
    for number in range(MOST + 100):
        assert shared((number, "banner")) == (number, "banner")
    assert _first.cache_info().currsize <= MOST
