"""`smtpcheck explain`: what people paste, what comes out, and that it starts at once without anything heavy."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smtpcheck.cli.explain import MAX_INPUT, UNKNOWN
from smtpcheck.model.cause import Cause

ENVIRONMENT = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
TENANT_OFF = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
KEYS = {"cause", "certainty", "summary", "evidence", "remedy", "tell_apart", "reference"}


def explain(*arguments: str, given: bytes = b"", folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "smtpcheck", "explain", *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, timeout=60, env=ENVIRONMENT, cwd=folder, check=False
    )


def first_cause(*arguments: str, given: bytes = b"") -> str:
    """Return the best finding's cause as JSON tells it."""
    result = explain(*arguments, "--format", "json", given=given)
    findings = json.loads(result.stdout)["findings"]
    assert all(finding.keys() >= KEYS and 0 <= finding["certainty"] <= 1 for finding in findings)
    assert findings == sorted(findings, key=lambda finding: -finding["certainty"])
    cause: str = findings[0]["cause"]
    assert (result.returncode, result.stderr) == (UNKNOWN if cause == Cause.UNKNOWN else 0, b"")
    return cause


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["AADSTS7000222"], Cause.SECRET_EXPIRED),
        ([TENANT_OFF], Cause.SMTP_AUTH_DISABLED_TENANT),
        (TENANT_OFF.split(), Cause.SMTP_AUTH_DISABLED_TENANT),
        (["550 5.7.30 Basic authentication is not supported for Client Submission."], Cause.BASIC_AUTH_RETIRED),
        (["mailbox_full"], Cause.MAILBOX_FULL),
        (["nothing that anybody knows"], Cause.UNKNOWN),
    ],
)
def test_text_on_the_command_line(arguments: list[str], cause: Cause) -> None:
    """A code, a reply, a reply without quotes, the id of a cause, and something unheard of."""
    assert first_cause(*arguments) == cause


def test_text_on_standard_input() -> None:
    """A log with timestamps, and the JSON of an issuer."""
    log = f"2026-11-23 10:00:01,123 ERROR mailer: smtplib.SMTPAuthenticationError: (535, b'{TENANT_OFF[4:]}')\n" * 3
    body = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
    assert first_cause("-", given=log.encode()) == Cause.SMTP_AUTH_DISABLED_TENANT
    assert first_cause("-", given=json.dumps(body).encode()) == Cause.SECRET_INVALID
    assert first_cause("-", given=f"\ufeff{TENANT_OFF}".encode()) == Cause.SMTP_AUTH_DISABLED_TENANT
    assert first_cause("-", given=b"\xff\xfe\x00 535 5.7.139 \x80 is disabled for the Tenant") != ""


def test_an_observation_in_yaml_or_json(tmp_path: Path) -> None:
    """From a file and from standard input, with few keys or with none."""
    observed = {"provider": "microsoft", "observed": {"phase": "auth", "smtp_reply": TENANT_OFF}}
    file = tmp_path / "seen.json"
    file.write_text(json.dumps(observed))
    assert first_cause("--observation", str(file)) == Cause.SMTP_AUTH_DISABLED_TENANT
    text = f"provider: microsoft\nobserved:\n  phase: auth\n  smtp_reply: >-\n    {TENANT_OFF}\n"
    assert first_cause("--observation", "-", given=text.encode()) == Cause.SMTP_AUTH_DISABLED_TENANT
    assert first_cause("--observation", "-", given=b"{}") == Cause.UNKNOWN


def test_the_text_names_cause_evidence_and_fix() -> None:
    result = explain(TENANT_OFF)
    text = result.stdout.decode()
    assert (result.returncode, result.stderr) == (0, b"")
    assert "smtp_auth_disabled_tenant" in text
    assert "Set-CASMailbox" in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_several_failures_come_with_their_lines_and_how_often() -> None:
    line = "Nov 27 10:00:0{0} mx postfix/smtp[{0}]: host x[192.0.2.1] said: {1} (in reply to {2} command)\n"
    log = line.format(1, "550 5.1.1 User unknown", "RCPT TO") + line.format(2, TENANT_OFF, "AUTH LOGIN")
    log += line.format(3, "550 5.1.1 User unknown", "RCPT TO")
    shown = json.loads(explain("-", "--format", "json", given=log.encode()).stdout)
    failures = [(item["lines"], item["count"], item["findings"][0]["cause"]) for item in shown["failures"]]
    assert failures == [([1, 3], 2, Cause.RECIPIENT_REJECTED), ([2], 1, Cause.SMTP_AUTH_DISABLED_TENANT)]
    assert shown["findings"] == shown["failures"][0]["findings"]
    text = explain("-", given=log.encode()).stdout.decode()
    assert "lines 1, 3: 2 times" in text
    assert "failures" not in json.loads(explain(TENANT_OFF, "--format", "json").stdout)


def test_certainty_is_said_in_words_and_equal_replies_are_separated_by_doctor() -> None:
    certain, possible = (
        explain(text).stdout.decode() for text in (TENANT_OFF, "535 5.7.3 Authentication unsuccessful")
    )
    assert "(smtp_auth_disabled_tenant, certain)" in certain
    assert ", possible)" in possible
    assert "or all at once: smtpcheck doctor <check>" in " ".join(possible.split())
    assert "%" not in certain + possible


def test_the_unknown_says_what_was_recognised_and_whom_to_ask() -> None:
    result = explain("AADSTS7000999: something unheard of")
    text = " ".join(result.stdout.decode().split())
    assert result.returncode == UNKNOWN
    assert "it speaks of a token endpoint" in text
    assert "https://login.microsoftonline.com/error?code=7000999" in text
    assert "the administrator of the Microsoft 365 tenant" in text


def test_a_misspelt_cause_is_told_the_nearest() -> None:
    result = explain("mailbx_full")
    assert result.returncode == UNKNOWN
    assert "mailbx_full is no cause; the nearest is mailbox_full" in result.stdout.decode()


def test_the_list_has_every_cause() -> None:
    lines = explain("--list").stdout.decode().splitlines()
    named = [line.split()[0] for line in lines if line[:1].strip()]
    assert named == [cause.value for cause in Cause]
    listed = json.loads(explain("--list", "--format", "json").stdout)["causes"]
    assert list(listed) == [cause.value for cause in Cause]
    assert all(listed.values())


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        ([], b"", "give one of"),
        (["AADSTS50034", "--list"], b"", "give one of"),
        (["-"], b" \n", "is empty"),
        (["-"], b"x" * (MAX_INPUT + 1), "larger than 256 KiB"),
        (["--observation", "-"], b"x" * (MAX_INPUT + 1), "larger than 256 KiB"),
        (["--observation", "missing.yaml"], b"", "missing.yaml cannot be read"),
        (["--observation", "."], b"", "cannot be read"),
        (["--observation", "-"], b"[1, 2]", "is a mapping"),
        (["--observation", "-"], b"a: [", "neither JSON nor YAML in line"),
        (["--observation", "-"], b"[" * 100_000, "nested too deep"),
        (["--observation", "-"], b"- " * 100_000, "nested too deep"),
        (["--observation", "-"], b"a: &a [x]\nb: [*a, *a]", "contains an alias"),
        (["--observation", "-"], b"a: 2026-99-99", "cannot read"),
        (["x", "--format", "nagios"], b"", "text or json"),
    ],
)
def test_wrong_use_is_one_clear_message(arguments: list[str], given: bytes, said: str, tmp_path: Path) -> None:
    result = explain(*arguments, given=given, folder=tmp_path)
    assert (result.returncode, result.stdout) == (64, b"")
    assert said in result.stderr.decode()
    assert b"Traceback" not in result.stderr


def test_the_largest_input_is_taken() -> None:
    filler = b"noise of a log, line after line\n" * (MAX_INPUT // 32)
    given = filler[: MAX_INPUT - len(TENANT_OFF)] + TENANT_OFF.encode()
    assert len(given) == MAX_INPUT
    assert first_cause("-", given=given) == Cause.SMTP_AUTH_DISABLED_TENANT


def test_of_a_large_bounce_the_beginning_is_enough() -> None:
    """A bounce of a large message returns all of it, behind what it has to say."""
    bounce = (Path(__file__).parent.parent / "bounces" / "lhost-exchange2007-02.eml").read_bytes()
    assert first_cause("-", given=bounce + b"VGhlIG9yaWdpbmFs\n" * 40_000) == Cause.MAILBOX_FULL


def test_no_token_and_no_secret_is_repeated() -> None:
    """Whatever the form in which they were pasted, in text and in JSON."""
    token = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"RS256"}', b'{"a":1}' * 20)
    )
    secrets = [f"{token}.c2lnbmF0dXJl", "ya29.a0AfB_byC1234567890", "EwBAAl3BAAUkj1NuJYtTVha", "Qx~8Q~topsecretvalue"]
    pasted = (
        f"535 5.7.3 Authentication unsuccessful\nAuthorization: Bearer {secrets[0]}\naccess_token={secrets[1]}\n"
        f"token {secrets[2]}\nclient_secret={secrets[3]}&grant_type=client_credentials\n"
    )
    observed = json.dumps({"observed": {"smtp_reply": pasted, "exception": pasted, "token_error": {"error": pasted}}})
    for output in ("text", "json"):
        for arguments, given in ((["-"], pasted), ([pasted], ""), (["--observation", "-"], observed)):
            result = explain(*arguments, "--format", output, given=given.encode())
            shown = "".join(result.stdout.decode().split())
            assert [secret for secret in secrets if secret in shown] == []


def test_control_characters_of_the_text_do_not_reach_the_terminal() -> None:
    pasted = "535 5.7.3 Authentication \x1b[31munsuccessful\x07\x9b2J\u202e"
    shown = explain("-", given=pasted.encode()).stdout.decode()
    assert [sign for sign in shown if not sign.isprintable() and sign != "\n"] == []
    assert "Authentication" in shown


def test_nothing_heavy_is_loaded() -> None:
    """Neither the diagnosis nor the command pulls in what a configuration, a token or the page needs."""
    heavy = "{'msal', 'aiohttp', 'requests', 'cryptography', 'apscheduler', 'prometheus_client', 'jinja2'}"
    program = "import sys; from smtpcheck.cli import main; main(['explain', 'AADSTS7000222']); "
    program += f"print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert run.stdout.splitlines()[-1] == "set()"
    program = (
        "import sys; from smtpcheck.output import finding; from smtpcheck.diagnosis import catalogue, observation;"
        "print({'pydantic', 'typer', 'structlog'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert run.stdout == "set()\n"
