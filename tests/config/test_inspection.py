"""What `inspect:` means, and what is said of one that cannot work."""

from pathlib import Path

import pytest

from smtpcheck.config import Settings, load, traffic_of
from smtpcheck.config.schema import json_schema
from smtpcheck.config.sharding import split
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.model.shard import Shard
from smtpcheck.output import terminal
from smtpcheck.output.finding import show

CONFIG = """
credentials:
  contoso:
    type: microsoft
    tenant: contoso.com
    client_id: x
    client_secret: {{value: abc}}
    cloud: {cloud}
    inspect: {inspect}
  auditor: {{type: microsoft, tenant: contoso.com, client_id: y, client_secret: {{value: abc}}, cloud: {by_cloud}}}
  same: {{type: microsoft, tenant: contoso.com, client_id: X, client_secret: {{value: abc}}}}
  anna: {{type: microsoft-user, client_id: z}}
checks:
  - name: "{{local}}"
    mailboxes: [a@contoso.com, b@contoso.com]
    credential: contoso
"""


def loaded(
    folder: Path, inspect: str, cloud: str = "global", by_cloud: str = "global"
) -> tuple[Settings | None, list[str]]:
    config = folder / "checks.yaml"
    config.write_text(CONFIG.format(inspect=inspect, cloud=cloud, by_cloud=by_cloud))
    found = load([config])
    return found.settings, [str(problem) for problem in found.problems]


def test_all_keys_but_one_have_a_default(tmp_path: Path) -> None:
    settings, problems = loaded(tmp_path, "{by: auditor}")
    assert problems == []
    assert settings
    plan = InspectionPlan("contoso", "auditor", 86400.0, mailboxes=("a@contoso.com", "b@contoso.com"))
    assert settings.inspections == {"contoso": plan}


@pytest.mark.parametrize(
    ("inspect", "said"),
    [
        ("{by: nobody}", "error: there is no credential of this name"),
        ("{by: anna}", "is of type microsoft-user, which cannot read a directory"),
        ("{by: auditor, every: 10m}", "must be 1h or more, not 600s"),
        ("{by: auditor, often: true}", "unknown key"),
        ("{}", "is missing"),
        ("auditor", "must be a mapping"),
    ],
)
def test_what_cannot_work_is_an_error(tmp_path: Path, inspect: str, said: str) -> None:
    settings, problems = loaded(tmp_path, inspect)
    assert settings is None
    assert any(said.removeprefix("error: ") in problem for problem in problems), problems


@pytest.mark.parametrize("by", ["contoso", "same"])
def test_an_inspector_that_inspects_itself_is_a_warning(tmp_path: Path, by: str) -> None:
    settings, (problem,) = loaded(tmp_path, f"{{by: {by}}}")
    assert settings
    assert "warning" in problem
    assert "is the application that is inspected" in problem


def test_both_are_of_one_cloud(tmp_path: Path) -> None:
    settings, (problem,) = loaded(tmp_path, "{by: auditor}", by_cloud="gcc-high")
    assert settings is None
    assert "is of cloud gcc-high, and the credential of global" in problem


def test_exchange_cannot_be_asked_in_china(tmp_path: Path) -> None:
    _, problems = loaded(tmp_path, "{by: auditor, exchange: true}", cloud="china", by_cloud="china")
    assert any("cannot be asked in the cloud china" in problem for problem in problems)


def test_the_requests_are_announced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, _ = loaded(tmp_path, "{by: auditor, exchange: true, every: 12h}")
    assert settings
    (traffic,) = traffic_of(settings).inspections
    assert 0 < traffic.undocumented < traffic.requests
    show(terminal.traffic_tables(traffic_of(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert f"Inspection of contoso by auditor: about {traffic.requests} reading requests in 12 hours" in said
    assert f"{traffic.undocumented} of them by an interface of Exchange that Microsoft does not document" in said


def test_a_shard_inspects_the_mailboxes_of_its_own_checks(tmp_path: Path) -> None:
    settings, _ = loaded(tmp_path, "{by: auditor}")
    assert settings
    parts = [split(settings, Shard(number, 2)) for number in range(2)]
    mailboxes = [mailbox for part in parts for plan in part.inspections.values() for mailbox in plan.mailboxes]
    assert sorted(mailboxes) == ["a@contoso.com", "b@contoso.com"]
    assert all("auditor" in part.credentials for part in parts if part.inspections)


def test_an_editor_knows_the_key() -> None:
    assert "sign_ins" in str(json_schema())


GOOGLE = """
credentials:
  workspace: {{type: google-service-account, key_file: sa.json, inspect: {inspect}}}
  robot: {{type: google-service-account, key_file: auditor.json}}
  auditor: {{type: microsoft, tenant: contoso.com, client_id: y, client_secret: {{value: abc}}}}
  anna: {{type: google-user, client_id: x, client_secret: {{value: abc}}, inspect: {{by: robot}}}}
checks:
  - {{name: billing, mailbox: billing@contoso.com, credential: workspace}}
  - {{name: anna, mailbox: anna@contoso.com, credential: anna}}
"""


def loaded_google(folder: Path, inspect: str) -> tuple[Settings | None, list[str]]:
    config = folder / "checks.yaml"
    config.write_text(GOOGLE.format(inspect=inspect))
    found = load([config])
    return found.settings, [text for text in map(str, found.problems) if "inspect" in text or "by" in text]


def test_a_service_account_and_a_user_of_google_can_be_inspected(tmp_path: Path) -> None:
    settings, problems = loaded_google(tmp_path, "{by: robot}")
    assert problems == []
    assert settings
    types = {name: (plan.by, plan.credential_type, plan.mailboxes) for name, plan in settings.inspections.items()}
    assert types == {
        "workspace": ("robot", "google-service-account", ("billing@contoso.com",)),
        "anna": ("robot", "google-user", ("anna@contoso.com",)),
    }
    requests = {each.credential: (each.requests, each.undocumented) for each in traffic_of(settings).inspections}
    assert requests == {"workspace": (8, 0), "anna": (5, 0)}


@pytest.mark.parametrize(
    ("inspect", "said"),
    [
        ("{by: auditor}", "is of type microsoft, which cannot read a directory of Google"),
        ("{by: anna}", "is of type google-user, which cannot read a directory of Google"),
        ("{by: robot, every: 10m}", "must be 1h or more, not 600s"),
    ],
)
def test_an_inspector_that_cannot_ask_google_is_an_error(tmp_path: Path, inspect: str, said: str) -> None:
    settings, problems = loaded_google(tmp_path, inspect)
    assert settings is None
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("inspect", "said"),
    [
        ("{by: workspace}", "is the service account that is inspected"),
        ("{by: robot, exchange: true}", "is asked at Microsoft alone; this has no effect"),
        ("{by: robot, sign_ins: true}", "is asked at Microsoft alone; this has no effect"),
    ],
)
def test_what_has_no_effect_at_google_is_a_warning(tmp_path: Path, inspect: str, said: str) -> None:
    settings, problems = loaded_google(tmp_path, inspect)
    assert settings is not None
    assert any(said in problem for problem in problems), problems
