"""A world whose checks have a past of 90 days, in a state file."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome, Report
from smtpcheck.state.state import State
from tests.web.world import CONTOSO, FABRIKAM, NOW, World, check, cut_off_report, ok_report, refused_report, settings

HOUR = 3600.0


def reports(name: str) -> Iterator[Report]:
    """Yield a run every two hours for 90 days: outages of 8 and 4 hours and one that goes on, a cut-off, a pause."""
    for age in range(90 * 24, -1, -2):
        at = NOW - 45 - age * HOUR
        days = age / 24
        seconds = 0.6 + (age * 37 % 50) / 100 + (2.5 if 30 < days < 33 else 0.0)
        if 50 < days < 52:
            continue
        if 61 <= days < 61.4 or 12 <= days < 12.2 or age < 5:
            yield structs.replace(refused_report(name, at=at), seconds=seconds)
        elif 40 <= days < 40.5:
            yield structs.replace(cut_off_report(name), started_at=at)
        elif 20 < days < 21:
            error = structs.replace(refused_report(name, at=at), cause=Cause.THROTTLED_LOGINS, seconds=20.0)
            yield error if age % 8 == 0 else structs.replace(ok_report(name, at=at), seconds=seconds)
        else:
            yield structs.replace(ok_report(name, at=at), seconds=seconds, outcome=Outcome.OK)


async def world_with_a_past(catalogue: Catalogue, folder: Path) -> World:
    """Return a world with a check that has a past, one with a single run, and one that never ran."""
    checks = (check("billing", labels=(("team", "finance"),)), check("invoices"), check("scanner"))
    world = World(settings(*checks), catalogue, state=await State.kept(folder), states=(CONTOSO, FABRIKAM))
    world.record(*reports("billing"), ok_report("invoices"))
    assert world.state._file
    await world.state._file.read("SELECT 1")  # what waits is written now
    return world
