"""Which alerts say nothing beside another, on a real Alertmanager with the configuration of `dashboards/`."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.alertmanager import Alertmanager
from tests.real.daemon import wait_until

CONFIG = Path(__file__).parent.parent.parent / "dashboards" / "alertmanager.yml"
AGENT = {"instance": "a:9587", "job": "smtpcheck"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Alertmanager]:
    manager = Alertmanager(tmp_path, CONFIG.read_text())
    try:
        yield manager
    finally:
        manager.stop()


def fire(manager: Alertmanager, *alerts: dict[str, str]) -> None:
    """Send alerts as Prometheus does."""
    body = json.dumps([{"labels": AGENT | alert} for alert in alerts]).encode()
    request = urllib.request.Request(
        f"{manager.url}/api/v2/alerts", body, {"Content-Type": "application/json"}, method="POST"
    )
    urllib.request.urlopen(request, timeout=10).close()


def told(manager: Alertmanager, count: int) -> set[str]:
    """Return the alerts that are not inhibited, each by its name and its last own label, when so many have come."""
    url = f"{manager.url}/api/v2/alerts"

    def shown() -> list[dict[str, dict[str, str]]]:
        with urllib.request.urlopen(url, timeout=10) as response:
            found: list[dict[str, dict[str, str]]] = json.load(response)
        return found

    wait_until(lambda: len(shown()) == count, "Alertmanager shows the alerts")
    wait_until(lambda: all(alert["status"]["state"] != "unprocessed" for alert in shown()), "they are processed")
    return {
        " ".join(value for key, value in sorted(alert["labels"].items()) if key not in {*AGENT, "severity"})
        for alert in shown()
        if alert["status"]["state"] == "active"
    }


def test_what_follows_from_another_alert_says_nothing(manager: Alertmanager) -> None:
    checks = [{"check": f"check-{number}", "credential": "contoso"} for number in range(3)]
    failing = [{"alertname": "SmtpcheckFailing", "severity": "critical", **check} for check in checks]
    alone = {"check": "gateway", "severity": "critical"}
    fire(
        manager,
        {"alertname": "SmtpcheckTokenFailing", "credential": "contoso", "severity": "critical"},
        *failing,
        {"alertname": "SmtpcheckFailing", **alone},
        {"alertname": "SmtpcheckErrorBudgetBurning", "window": "1h", **alone},
        {"alertname": "SmtpcheckErrorBudgetBurning", "window": "1h", **alone, "check": "other"},
        {"alertname": "SmtpcheckErrorBudgetBurning", "window": "3d", "check": "other", "severity": "warning"},
        {"alertname": "SmtpcheckErrorBudgetBurning", "window": "3d", "check": "third", "severity": "warning"},
        {"alertname": "SmtpcheckUnknown", "check": "gateway", "severity": "warning"},
    )
    assert told(manager, 10) == {
        "SmtpcheckTokenFailing contoso",
        "SmtpcheckFailing gateway",
        "SmtpcheckErrorBudgetBurning other 1h",
        "SmtpcheckErrorBudgetBurning third 3d",
        "SmtpcheckUnknown gateway",
    }
