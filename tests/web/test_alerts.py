"""What page and API say of the agent's own alerts."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from smtpcheck.alerts.notifiers.log import Log
from smtpcheck.alerts.thresholds import Thresholds
from smtpcheck.config.alerts import AlertSettings
from smtpcheck.diagnosis.catalogue import Catalogue
from tests.web.conftest import Client
from tests.web.world import World, check, expiring_report, ok_report, refused_report, secret_report, settings

Connect = Callable[[World], Awaitable[Client]]


def alerted(catalogue: Catalogue) -> World:
    """A world with alerts: one check is refused, two of one credential get no token, one warns, one is well."""
    two = check("orders", credential="fabrikam"), check("shop", credential="fabrikam")
    wanted = replace(
        settings(check("billing"), *two, check("news"), check("well")),
        alerts=AlertSettings(Thresholds(1, 1), None, notifiers=(Log(),)),
    )
    world = World(wanted, catalogue)
    world.record(refused_report("billing"), secret_report("orders"), secret_report("shop"))
    world.record(expiring_report("news"), ok_report("well"))
    return world


async def test_the_list_shows_what_fires_worst_first_and_who_is_told(catalogue: Catalogue, connect: Connect) -> None:
    world = alerted(catalogue)
    await world.alerting.start()
    text = await (await (await connect(world)).get("/")).text()
    await world.alerting.close()
    section = text[text.index('id="live-alerts"') :]
    assert "3 firing" in section
    assert section.index("credential fabrikam") < section.index("host smtp.office365.com:587")
    assert "(2 of 2 checks)" in section
    assert 'href="/?outcome=critical&amp;cause=secret_expired"' in section
    assert "log" in section[section.index("legend") :]


async def test_without_alerts_the_list_has_no_such_section(client: Client) -> None:
    assert "live-alerts" not in await (await client.get("/")).text()


async def test_the_page_of_a_check_shows_the_alerts_that_it_is_part_of(catalogue: Catalogue, connect: Connect) -> None:
    client = await connect(alerted(catalogue))
    orders = await (await client.get("/checks/orders")).text()
    assert "critical, firing for" in orders and "(2 checks)" in orders
    assert "firing for" not in await (await client.get("/checks/well")).text()


async def test_the_api_tells_alerts_and_notifiers(catalogue: Catalogue, connect: Connect) -> None:
    world = alerted(catalogue)
    await world.alerting.start()
    client = await connect(world)
    answer = await (await client.get("/api/v1/alerts")).json()
    one = await (await client.get("/api/v1/checks/orders")).json()
    await world.alerting.close()
    assert answer["configured"] is True
    assert answer["counts"] == {"critical": 2, "warning": 1}
    assert [(alert["severity"], alert["subject"]["name"]) for alert in answer["alerts"]] == [
        ("critical", "contoso"),
        ("critical", "fabrikam"),
        ("warning", "smtp.office365.com:587"),
    ]
    assert [each["name"] for each in answer["notifiers"]] == ["log"]
    assert [alert["checks"] for alert in one["alerts"]] == [["orders", "shop"]]


async def test_the_api_says_that_there_are_no_alerts(client: Client) -> None:
    answer = await (await client.get("/api/v1/alerts")).json()
    assert answer == {"configured": False, "counts": {}, "alerts": [], "notifiers": []}
