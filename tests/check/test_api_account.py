"""What a mail API says of the account and of its own errors, as warnings and as the cause of a failure."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from smtpcheck.check.kit import build_kit
from smtpcheck.check.outcome import account_warnings
from smtpcheck.check.probe import probe
from smtpcheck.config import load
from smtpcheck.diagnosis.catalogue import load as catalogue
from smtpcheck.diagnosis.explain import describe, explain
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Via
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.certificates import Authority, Certificate
from smtpcheck.sandbox.mail_apis import MailApis
from tests.worlds.samples import check, report

BY_SES = check(via=Via("ses", "https://email.eu-central-1.amazonaws.com", region="eu-central-1"))
STATED = ((Cause.QUOTA_EXHAUSTED, 0.9), (Cause.API_KEY_INVALID, 0.3))


@pytest.mark.parametrize(
    ("account", "causes"),
    [
        ({"production_access": 1.0, "enforcement_status": "HEALTHY"}, []),
        ({"production_access": 0.0}, [Cause.API_ACCOUNT_IN_SANDBOX]),
        ({"enforcement_status": "PROBATION"}, [Cause.API_ACCOUNT_UNDER_REVIEW]),
        ({}, []),
    ],
)
def test_an_account_that_still_sends_may_be_a_warning(account: dict[str, float | str], causes: list[Cause]) -> None:
    found = list(account_warnings(BY_SES, structs.replace(report(), account=account)))
    assert [finding.cause for finding in found] == causes
    remedies = [step for finding in found for step in describe(finding, catalogue()).remedy]
    assert not [step for step in remedies if "mailgun" in step.lower()]


def test_what_the_table_says_comes_first_and_rules_add_to_it() -> None:
    seen = Observation(phase="request", api="http", http_status=401, answer="401 17 no more", stated=STATED)
    found = explain(seen, catalogue())
    assert [finding.cause for finding in found[:2]] == [Cause.QUOTA_EXHAUSTED, Cause.API_KEY_INVALID]
    assert len({finding.cause for finding in found}) == len(found)
    assert found[0].evidence == ("answer: 401 17 no more",)


GATEWAY = """\
api: gateway
about: Our mail gateway
references: ["https://gateway.example.org/docs"]
regions: {{global: "{base}"}}
key: {{header: X-Postmark-Server-Token}}
proof:
- {{method: GET, path: /server, success: {{status: [200]}}, shows: the key is known}}
send: {{path: /email, body: {{To: "{{recipient}}"}}, success: {{status: [200]}}}}
answer: {{code: [ErrorCode], message: [Message]}}
errors:
- {{code: [10], cause: client_address_not_allowed}}
"""
CONFIG = """\
agent: {{state: {folder}/state}}
credentials: {{gate: {{type: api-key, key: {{value: a-key}}}}}}
checks:
- name: a
  mailbox: a@contoso.example
  credential: gate
  via: {{api: http, file: gateway.yaml}}
  server: {{ca_file: ca.pem}}
"""


async def test_an_api_of_ones_own_is_checked_by_its_file_from_the_configuration_to_the_cause(tmp_path: Path) -> None:
    """The wrong key has the cause that the file gives it, which no rule of ours would."""
    authority, services = Authority(), MailApis()
    await services.start(authority.server_context(Certificate.VALID))
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "gateway.yaml").write_text(GATEWAY.format(base=services.base("postmark")))
    (tmp_path / "checks.yaml").write_text(CONFIG.format(folder=tmp_path))
    loaded = await asyncio.to_thread(load, [tmp_path / "checks.yaml"])
    assert loaded.settings is not None, loaded.problems
    kit = await build_kit(loaded.settings)
    try:
        made = await probe(loaded.settings.checks[0], kit)
    finally:
        await kit.close()
        await services.close()
    assert (made.outcome, made.cause) == (Outcome.CRITICAL, Cause.CLIENT_ADDRESS_NOT_ALLOWED)
    assert "a-key" not in str(made)
