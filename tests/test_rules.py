"""The Prometheus rules: well formed, each with cases that fire and cases that do not, and about metrics that exist."""

import re
import subprocess
from pathlib import Path

import yaml

from smtpcheck.metrics import table
from tests.real.daemon import real_binary

ROOT = Path(__file__).parent.parent
RULES = ROOT / "dashboards" / "smtpcheck.rules.yaml"
CASES = ROOT / "tests" / "rules" / "smtpcheck.rules.test.yaml"


def alerts() -> dict[str, str]:
    """Return each alert's expression by its name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def test_every_rule_passes_its_cases() -> None:
    """Promtool evaluates each case of the test file against the rules."""
    command = [real_binary("promtool"), "test", "rules", CASES.name]
    result = subprocess.run(command, cwd=CASES.parent, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout


def test_every_rule_has_a_case_that_fires() -> None:
    """A rule without a case would pass whatever it says."""
    tests = yaml.safe_load(CASES.read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == set(alerts())


def test_rules_speak_of_metrics_that_exist() -> None:
    """Every smtpcheck_ name in an expression is a metric of the table."""
    known = {family.name for family in table.TABLE}
    named = {name for expression in alerts().values() for name in re.findall(r"smtpcheck_\w+", expression)}
    assert named - known == set()
