"""What the pages say, without a browser."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from html import unescape

import pytest
from msgspec import structs

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Expect, Phase
from smtpcheck.model.inspection import Announcement, Incident, IncidentStatus
from smtpcheck.model.report import Finding, Outcome, Report
from smtpcheck.web.table import Query, Rows, read
from tests.web.conftest import Client
from tests.web.world import NOW, World, check, ok_report, refused_report, settings

HTML = {"Accept": "text/html"}


async def _page(client: Client, path: str) -> str:
    return await (await client.get(path, headers=HTML)).text()


async def _names(client: Client, query: str) -> list[str]:
    return re.findall(r'<th role="rowheader"[^>]*><a href="/checks/([^"]+)"', await _page(client, f"/{query}"))


def _text(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def test_the_list_shows_the_worst_and_newest_first(client: Client) -> None:
    assert await _names(client, "") == [
        "orders", "billing", "printer-3rd-floor", "newsletter", "scanner", "invoices",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?q=BILL", ["billing"]),
        ("?q=invoices@contoso", ["invoices"]),
        ("?outcome=warning", ["newsletter"]),
        ("?outcome=waiting", ["scanner"]),
        ("?outcome=nonsense&q=orders", ["orders"]),
        ("?cause=secret_expired", ["orders"]),
        ("?cause=certificate_expiring", ["newsletter"]),
        ("?label=team%3Dfinance", ["billing", "invoices"]),
        ("?label=team&outcome=critical", ["orders", "billing"]),
        ("?label=team%3D", []),
        ("?q=nothing+like+it", []),
    ],
)
async def test_the_filter_lets_through(client: Client, query: str, names: list[str]) -> None:
    assert await _names(client, query) == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("name", ["billing", "invoices", "newsletter", "orders", "printer-3rd-floor", "scanner"]),
        ("-name", ["scanner", "printer-3rd-floor", "orders", "newsletter", "invoices", "billing"]),
        ("latency", ["orders", "billing", "newsletter", "invoices", "printer-3rd-floor", "scanner"]),
        ("-latency", ["printer-3rd-floor", "billing", "newsletter", "invoices", "orders", "scanner"]),
        ("certificate", ["newsletter", "billing", "invoices", "orders", "printer-3rd-floor", "scanner"]),
        ("secret", ["orders", "billing", "printer-3rd-floor", "newsletter", "scanner", "invoices"]),
        ("-last", ["orders", "newsletter", "invoices", "billing", "printer-3rd-floor", "scanner"]),
        ("nonsense", ["orders", "billing", "printer-3rd-floor", "newsletter", "scanner", "invoices"]),
    ],
)
async def test_a_column_orders_and_what_is_not_known_stands_last(client: Client, sort: str, names: list[str]) -> None:
    assert await _names(client, f"?sort={sort}") == names


async def test_the_head_of_the_ordered_column_says_so(client: Client) -> None:
    page = await _page(client, "/?sort=-latency&q=i&refresh=off")
    assert re.findall(r'<th scope="col"[^>]*c-(\w+)[^>]*aria-sort="(\w+)">', page) == [("latency", "descending")]
    assert 'href="?q=i&amp;sort=latency&amp;refresh=off"' in page


async def test_links_keep_the_filter_and_the_form_keeps_the_order(client: Client) -> None:
    page = await _page(client, "/?q=i&sort=name&per_page=2&page=2")
    assert 'rel="prev" href="?q=i&amp;sort=name&amp;per_page=2"' in page
    assert 'rel="next" href="?q=i&amp;sort=name&amp;page=3&amp;per_page=2"' in page
    assert '<option value="name" selected>' in page


@pytest.mark.parametrize("query", ["?page=99", "?page=0", "?page=x", "?per_page=-1", "?page=9999999999999", "?page=²"])
async def test_a_page_that_is_not_there_is_the_nearest(client: Client, query: str) -> None:
    assert len(await _names(client, query)) == 6


async def test_a_row_says_what_a_glance_needs(client: Client) -> None:
    text = _text(await _page(client, "/?q=billing"))
    assert "Critical billing billing@contoso.example" in text
    assert "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. 45 s" in text
    assert "45 s ago 755 ms 2026-11-04 in 21 d 2027-03-23 in 160 d" in text


async def test_credentials_tell_their_trouble(client: Client) -> None:
    text = _text(await _page(client, "/"))
    assert "Critical fabrikam invalid_client AADSTS7000222: The provided client secret keys" in text
    assert "expired 2 d ago" in text


async def test_an_unknown_address_says_so_once(client: Client) -> None:
    text = _text(await (await client.get("/nowhere", headers=HTML)).text())
    assert text.count("Not Found") == 2, "in the title and on the page"


async def test_no_check_and_no_match_say_what_to_do(
    catalogue: Catalogue, client: Client, connect: Callable[[World], Awaitable[Client]]
) -> None:
    empty = await _page(await connect(World(settings(), catalogue)), "/")
    unmatched = await _page(client, "/?q=zzz")
    assert "No checks yet." in empty
    assert "Nothing matches the filter." in unmatched
    assert "Show all 6 checks" in unmatched


async def test_a_check_shows_its_run(client: Client) -> None:
    page = await _page(client, "/checks/billing")
    text = _text(page)
    assert len(re.findall(r'class="c-bar"><svg', page)) == 10
    assert re.findall(r'<tr role="row" class="failed">', page) == ['<tr role="row" class="failed">']
    assert "AUTH failed 264 ms" in text
    assert 'challenge: {"status":"400","schemes":"Bearer"}' in text
    assert "smtp_auth_disabled_tenant · certain" in text
    assert "the token's audience and role are right" in text
    assert "Recent runs 59" in text
    assert page.count('<rect class="column ') == 59
    assert page.count('<use class="mark critical"') == 3
    assert "roles SMTP.SendAsApp" in text
    assert "*.outlook.com" in text


async def test_an_expected_refusal_is_no_failure_on_any_page(
    catalogue: Catalogue, connect: Callable[[World], Awaitable[Client]]
) -> None:
    expect = Expect(Phase.AUTH, ("535",), ("5.7.*",))
    world = World(settings(replace(check("a"), expect=expect)), catalogue)
    refused = structs.replace(refused_report("a"), expect=expect)
    world.record(structs.replace(refused, outcome=Outcome.OK, cause=None, findings=()))
    client = await connect(world)
    row, page = await _page(client, "/"), await _page(client, "/checks/a")
    assert "Refused as expected 535 5.7.139 Authentication unsuccessful" in _text(row)
    assert "critical" not in re.findall(r'<tr role="row" class="(\w+)"', row)
    assert "Expects a refusal 535 5.7.* in phase auth" in _text(page)
    assert "AUTH refused as expected" in _text(page)
    assert 'class="failed"' not in page
    assert "Why it fails" not in page


async def test_an_unexpected_success_marks_the_phase_that_passed(
    catalogue: Catalogue, connect: Callable[[World], Awaitable[Client]]
) -> None:
    expect = Expect(Phase.AUTH, ("535",))
    world = World(settings(replace(check("a"), expect=expect)), catalogue)
    passed = Finding(Cause.UNEXPECTED_SUCCESS, 1.0, "expectation.unexpected_success")
    report = structs.replace(
        ok_report("a"), outcome=Outcome.CRITICAL, cause=passed.cause, findings=(passed,), expect=expect
    )
    world.record(report)
    page = await _page(await connect(world), "/checks/a")
    assert page.count('class="failed"') == 1
    assert "AUTH accepted, although a refusal was expected" in _text(page)
    assert "The server accepted what it should have refused." in _text(page)


async def test_times_of_a_token_are_times(client: Client, world: World) -> None:
    """Its claims count seconds (RFC 7519 2); one that is none is shown as it came."""
    report = ok_report("scanner")
    assert report.token
    claims = {"exp": 1_792_003_600, "iat": "soon", "nbf": 1e300}
    world.record(structs.replace(report, token=structs.replace(report.token, claims=claims)))
    text = _text(await _page(client, "/checks/scanner"))
    assert "exp 2026-10-14 18:46:40 UTC iat soon nbf 1e+300" in text


async def test_what_an_api_says_of_the_account_is_shown_as_text(client: Client, world: World) -> None:
    account: dict[str, float | str] = {
        "production_access": 0.0,
        "quota_in_24_hours": 50000.0,
        "enforcement_status": "<b>HEALTHY",
    }
    world.record(structs.replace(ok_report("billing", at=NOW), account=account))
    page = await _page(client, "/checks/billing")
    assert "Account production access no quota in 24 hours 50000 enforcement status <b>HEALTHY" in _text(page)
    assert "<b>HEALTHY" not in page


async def test_a_failed_token_shows_the_issuers_answer(client: Client) -> None:
    text = _text(await _page(client, "/checks/orders"))
    assert "invalid_client (HTTP 401)" in text
    assert "Correlation id 7d2f0f0e-3f5c-4a86-9a0b-5f6b6f0f7a11" in text


async def test_a_check_that_recovered_still_tells_its_last_failure(client: Client, world: World) -> None:
    world.record(ok_report("billing", at=NOW))
    text = _text(await _page(client, "/checks/billing"))
    assert "Last failure 45 s ago" in text
    assert "535 5.7.139" in text


async def test_a_check_that_has_not_run_says_when_it_will(client: Client) -> None:
    assert "This check has not run yet. Its first run is in 37 s" in _text(await _page(client, "/checks/scanner"))


@pytest.mark.parametrize("path", ["/checks/nobody", "/nowhere", "/static/nothing.css", "/static/..%2fapp.py"])
async def test_what_is_not_there_is_a_page_that_leads_back(client: Client, path: str) -> None:
    answer = await client.get(path, headers=HTML)
    page = await answer.text()
    assert (answer.status, "404 Not Found" in page, '<a href="/">All checks</a>' in page) == (404, True, True)


async def test_whatever_a_server_says_is_text(
    catalogue: Catalogue, connect: Callable[[World], Awaitable[Client]]
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    world = World(settings(check("a", evil, labels=(("team", evil),))), catalogue)
    world.record(refused_report("a", text=evil))
    client = await connect(world)
    pages = [
        await _page(client, path) for path in ("/", "/checks/a", "/?q=%3Cscript%3Ealert(1)", "/checks/%3Cscript%3E")
    ]
    assert [page.count("<img src=x") + page.count("<script>") for page in pages] == [0, 0, 0, 0]
    assert evil in unescape(pages[1])


@pytest.mark.parametrize(
    ("query", "notice"),
    [
        ("?ran=1", "Checked just now."),
        ("?wait=7", "Not run: it was run a moment ago. Try again in 7 s."),
        ("?wait=<b>", None),
        ("", None),
    ],
)
async def test_the_button_tells_what_came_of_it(client: Client, query: str, notice: str | None) -> None:
    page = await _page(client, f"/checks/billing{query}")
    found = re.search(r'role="status">(.*?)</p>', page)
    assert (found.group(1) if found else None) == notice


async def test_pages_refresh_themselves_until_that_is_switched_off(client: Client) -> None:
    for path in ("/", "/checks/billing"):
        on, off = await _page(client, path), await _page(client, f"{path}?refresh=off")
        assert ('data-seconds="15"' in on, "http-equiv" in on, ">Pause<" in on) == (True, True, True)
        assert ('data-seconds="0"' in off, "http-equiv" in off, ">Resume<" in off) == (True, False, True)


def test_ten_thousand_checks_cost_one_page(catalogue: Catalogue) -> None:
    """Every row of a page is there once, and no page is longer than it should be."""
    checks = tuple(check(f"check-{number:05}") for number in range(10_000))
    world = World(settings(*checks), catalogue)
    world.next_run = lambda name: NOW  # type: ignore[method-assign]
    for number in range(0, 10_000, 3):
        world.record(structs.replace(ok_report(f"check-{number:05}"), seconds=number / 1000))
    rows = Rows(world, checks, world.credentials())
    table = read(rows, Query.parse({"sort": "-latency", "page": "2", "outcome": "ok"}))
    assert (table.total, table.found, table.pages, len(table.rows)) == (10_000, 3334, 34, 100)
    assert (table.rows[0].check.name, table.rows[-1].check.name) == ("check-09699", "check-09402")


@pytest.mark.parametrize("expiry", [1.8e12, -1e15, float("inf")])
async def test_an_expiry_that_no_calendar_has_breaks_no_page(
    world: World, connect: Callable[[World], Awaitable[Client]], expiry: float
) -> None:
    """A broker that writes `exp` in milliseconds is shown beside the other checks."""
    world.record(_with_expiry(ok_report("billing"), expiry))
    client = await connect(world)
    assert len(await _names(client, "")) == 6
    for path in ("/", "/checks/billing"):
        page = await _page(client, path)
        assert "not a valid time" in page
        assert "cannot be shown" not in page


async def test_what_cannot_be_rendered_is_shown_as_such_and_the_rest_stays(
    world: World, connect: Callable[[World], Awaitable[Client]]
) -> None:
    world.record(_with_expiry(ok_report("billing"), "soon"))
    client = await connect(world)
    page = await _page(client, "/")
    assert page.count("This row cannot be shown") == 1
    assert sorted(await _names(client, "")) == [
        "billing", "invoices", "newsletter", "orders", "printer-3rd-floor", "scanner",
    ]  # fmt: skip
    page = await _page(client, "/checks/billing")
    assert page.count("This part of the page cannot be shown") == 2
    assert "Recent runs" in page


async def test_a_lone_surrogate_breaks_no_page(world: World, connect: Callable[[World], Awaitable[Client]]) -> None:
    world.record(refused_report("billing", text="a lone surrogate: \ud800"))
    client = await connect(world)
    assert "a lone surrogate: ?" in await _page(client, "/checks/billing")
    assert (await client.get("/", headers=HTML)).status == 200


def _with_expiry(report: Report, expiry: object) -> Report:
    assert report.token is not None
    assert report.tls is not None and report.tls.certificate is not None
    facts = structs.replace(report.token, expires_at=expiry, claims={"exp": expiry})
    certificate = structs.replace(report.tls.certificate, not_after=expiry)
    return structs.replace(report, token=facts, tls=structs.replace(report.tls, certificate=certificate))


@pytest.mark.parametrize(("days", "near"), [(10, True), (90, False), (-3, False)])
async def test_an_announced_change_is_named_and_cannot_break_the_page(
    world: World, client: Client, days: int, *, near: bool
) -> None:
    title = "SMTP AUTH <b>changes</b>"
    act_by = NOW + days * 86400
    world.announcements = (
        Announcement("microsoft", "exchange_online", "MC786329", title, act_by, NOW - 7200, NOW),
        Announcement("microsoft", "exchange_online", "MC1", "Another", None, None, NOW),
    )
    page = await _page(client, "/")
    assert "Microsoft announces a change: SMTP AUTH &lt;b&gt;changes&lt;/b&gt; (MC786329, <span" in page
    assert ('<span class="over warning">to act by' in page) is near
    assert "Microsoft announces a change: Another (MC1)" in page
    world.announcements = ()
    assert "announces a change" not in await _page(client, "/")


async def test_an_open_incident_of_a_provider_is_named_and_cannot_break_the_page(world: World, client: Client) -> None:
    world.incidents = (
        Incident(
            *("microsoft", "exchange_online", "EX226792", IncidentStatus.DEGRADED, "<b>Mail is slow</b>"),
            began_at=NOW - 3600,
            updated_at=None,
            read_at=NOW,
        ),
    )
    page = await _page(client, "/")
    assert (
        "Microsoft reports an incident of Exchange Online: &lt;b&gt;Mail is slow&lt;/b&gt; (EX226792, degraded, for "
        in page
    )
    world.incidents = ()
    assert "reports an incident" not in await _page(client, "/")
