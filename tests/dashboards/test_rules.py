"""The Prometheus rules: well formed, every alert with cases that fire and that do not, about metrics that exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.remedies import remedies
from smtpcheck.output.metrics import families
from smtpcheck.output.metrics.families import Kind
from tests.real.daemon import real_binary

ROOT = Path(__file__).parent.parent.parent
RULES = sorted((ROOT / "dashboards").glob("*.rules.yaml"))
CASES = sorted((ROOT / "tests" / "rules").glob("*.test.yaml"))

SEVERITIES = {"critical", "warning", "info"}
AGENT = "http://{{ $labels.instance }}/"
ABSENT = {"SmtpcheckAgentAbsent", "SmtpcheckShardNotRun", "SmtpcheckShardsOverlap"}
"""An agent that is not there has no page."""


def rules() -> list[dict[str, Any]]:
    """Return every rule of every file."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def identity(name: str, labels: dict[str, str]) -> tuple[str, str, str]:
    """Return what tells one alert rule from all others."""
    return name, labels["severity"], labels.get("window", "")


def cases() -> list[dict[str, Any]]:
    """Return what the case files expect of alerts."""
    return [
        case
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    ]


def promtool(*arguments: str, folder: Path) -> tuple[int, str]:
    """Return its exit status and what it said."""
    result = subprocess.run(
        [real_binary("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_finds_no_fault(path: Path) -> None:
    status, said = promtool("check", "rules", path.name, folder=path.parent)
    assert status == 0, said


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_every_alert_passes_its_cases(path: Path) -> None:
    """Promtool evaluates each case of the file against the rules."""
    status, said = promtool("test", "rules", path.name, folder=path.parent)
    assert status == 0, said


def test_every_alert_has_a_case_that_fires() -> None:
    """Each severity and window of it: a rule without a case would pass whatever it says."""
    fired = {identity(case["alertname"], alert["exp_labels"]) for case in cases() for alert in case["exp_alerts"]}
    assert fired == {identity(rule["alert"], rule["labels"]) for rule in alerts()}


def test_every_alert_has_a_case_that_does_not_fire() -> None:
    assert {case["alertname"] for case in cases() if not case["exp_alerts"]} == {rule["alert"] for rule in alerts()}


def test_of_one_alert_one_severity_fires_for_one_thing() -> None:
    """Where severities are steps of one quantity; windows of an error budget are not."""
    for case in cases():
        things = [
            tuple(sorted((name, str(value)) for name, value in alert["exp_labels"].items() if name != "severity"))
            for alert in case["exp_alerts"]
        ]
        assert len(things) == len(set(things)), (case["alertname"], case["eval_time"])


def test_what_ends_is_told_thirty_seven_and_one_days_before() -> None:
    """Of every quantity, and each day by one severity alone."""
    steps: dict[str, dict[str, str]] = {}
    for rule in alerts():
        if rule["alert"].endswith("Expiring") and rule["alert"] != "SmtpcheckTokenExpiring":
            expression = re.sub(r"\S+ - time\(\)", "left", rule["expr"])
            steps.setdefault(rule["alert"], {})[rule["labels"]["severity"]] = expression
    assert len(steps) == 4
    for each in steps.values():
        assert each == {
            "info": "7 * 86400 <= left < 30 * 86400",
            "warning": "86400 <= left < 7 * 86400",
            "critical": "left < 86400",
        }


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """In words, and by a link to the page of the check, of the credential's checks or of the agent."""
    for rule in alerts():
        wanted = {"summary", "description", "runbook", "runbook_url"}
        assert wanted - set(rule["annotations"]) == ({"runbook_url"} if rule["alert"] in ABSENT else set())
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"].get("runbook_url", AGENT).startswith(AGENT)
        if "{{ $labels.check }}" in rule["annotations"]["summary"]:
            assert rule["annotations"]["runbook_url"] == AGENT + "checks/{{ $labels.check }}"


def test_an_alert_with_a_cause_names_the_remedy_of_that_cause() -> None:
    """In the words of the list of causes."""
    told = {rule["labels"]["cause"]: rule["annotations"]["runbook"] for rule in alerts() if "cause" in rule["labels"]}
    assert told
    assert {cause: remedies().get(cause) for cause in told} == told


def test_every_cause_has_one_remedy_as_a_series() -> None:
    recorded = [rule["labels"] for rule in rules() if rule.get("record") == "smtpcheck:remedy:info"]
    assert recorded == [{"cause": cause, "remedy": remedy} for cause, remedy in remedies().items()]


def test_rules_speak_of_metrics_that_exist() -> None:
    """Of the table (of a histogram its buckets), or recorded by another rule; also in the queries of annotations."""
    known = {family.name + ("_bucket" if family.kind is Kind.HISTOGRAM else "") for family in families.TABLE}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = [re.findall(r"{{(.*?)}}", text) for rule in alerts() for text in rule["annotations"].values()]
    texts = [rule["expr"] for rule in rules()] + [code for codes in asked for code in codes]
    named = {name for text in texts for name in re.findall(r"[a-z]*:?smtpcheck[_:][\w:]+", text)}
    assert recorded & named
    assert named - known - recorded == set()
