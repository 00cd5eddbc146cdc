"""Checks and reports of their runs; a test says what it changes in them, for that is what it is about."""

from dataclasses import replace
from typing import Any

from msgspec import structs

from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check, Depth, Phase, Provider, Security, Server, Warn
from smtpcheck.model.report import (
    Attempt,
    CertificateFacts,
    Exchange,
    Fault,
    FaultKind,
    Finding,
    Outcome,
    Reply,
    Report,
    Step,
    TlsFacts,
    TokenError,
    TokenErrorKind,
    TokenFacts,
)

NOW = 1_792_000_000.0
"""When the runs began: 2026-10-14 17:46:40 UTC."""
SECONDS = 0.5
"""How long they took."""
BILLING = Check(
    name="billing",
    mailbox="billing@example.org",
    credential="site",
    provider=Provider.GENERIC,
    server=Server("smtp.example.org", 587, Security.STARTTLS, "smtp.example.org", "[127.0.0.1]"),
    depth=Depth.AUTH,
    interval=60.0,
    timeout=20.0,
    token_timeout=10.0,
    sender="billing@example.org",
    recipient=None,
    mechanism=None,
    warn=Warn(1.0, 1.0, 1.0, 1.0),
)


def check(name: str = "billing", **changes: Any) -> Check:
    """Return a check whose mailbox, which is its sender too, has its name."""
    mailbox = changes.get("mailbox", f"{name}@example.org")
    return replace(BILLING, **{"name": name, "mailbox": mailbox, "sender": mailbox, **changes})


def exchange_online(name: str = "billing", **changes: Any) -> Check:
    """Return a check of Exchange Online with the credential `contoso`."""
    server = Server("smtp.office365.com", 587, Security.STARTTLS, "smtp.office365.com", "[127.0.0.1]")
    of_contoso = {"mailbox": f"{name}@contoso.com", "credential": "contoso", "provider": Provider.MICROSOFT}
    return check(name, **{**of_contoso, "server": server, **changes})


def report(outcome: Outcome = Outcome.OK, *steps: Step, **changes: Any) -> Report:
    """Return a run that came out like this."""
    return structs.replace(Report("billing", NOW, SECONDS, outcome, steps), **changes)


def failed(
    kind: FaultKind,
    phase: Phase = Phase.CONNECT,
    *,
    cause: Cause = Cause.TIMEOUT,
    seconds: float = SECONDS,
    **changes: Any,
) -> Report:
    """Return a run that ended in a phase without a reply."""
    step = Step(phase, 0.0, seconds, fault=Fault(kind))
    return report(Outcome.CRITICAL, step, cause=cause, seconds=seconds, **changes)


def refused(
    code: int = 535,
    enhanced: str = "5.7.3",
    *,
    phase: Phase = Phase.AUTH,
    cause: Cause = Cause.USER_MISMATCH,
    **changes: Any,
) -> Report:
    """Return a run that the server ended with a reply."""
    exchange = Exchange("AUTH XOAUTH2", Reply(code, enhanced, ("no",)))
    step = Step(phase, 0.0, SECONDS, (exchange,), Fault(FaultKind.REPLY))
    return report(Outcome.CRITICAL, step, cause=cause, **changes)


def without_token(error: str, *codes: int, cause: Cause = Cause.SECRET_INVALID, **changes: Any) -> Report:
    """Return a run to which the issuer gave no token."""
    problem = TokenError(TokenErrorKind.OAUTH, NOW, error=error, error_codes=codes)
    return failed(FaultKind.TOKEN, Phase.TOKEN, cause=cause, token_error=problem, **changes)


def run(
    started_at: float, outcome: Outcome = Outcome.OK, cause: Cause | None = None, seconds: float = SECONDS
) -> Report:
    """Return a run that began then."""
    return report(outcome, started_at=started_at, cause=cause, seconds=seconds)


def good(name: str, *causes: Cause) -> Report:
    """Return a run that reached its depth, with a warning of each cause."""
    findings = tuple(Finding(cause, 1.0, f"judge.{cause}") for cause in causes)
    return report(Outcome.WARNING if causes else Outcome.OK, check=name, warnings=findings)


def bad(name: str, phase: Phase = Phase.TOKEN, cause: Cause = Cause.SECRET_EXPIRED, certainty: float = 1.0) -> Report:
    """Return a run that failed for a cause, which a rule has found."""
    finding = Finding(cause, certainty, "a.rule", values={"mailbox": f"{name}@contoso.com", "client_id": "11-22"})
    if phase is Phase.TOKEN:
        return failed(FaultKind.TOKEN, phase, cause=cause, check=name, findings=(finding,))
    return refused(phase=phase, cause=cause, check=name, findings=(finding,))


def unknown(name: str, cause: Cause = Cause.AGENT_CUT_OFF) -> Report:
    """Return a run of which nothing is known but why."""
    return report(Outcome.UNKNOWN, check=name, cause=cause, findings=(Finding(cause, 1.0, "judge.x"),))


def full_report(name: str) -> Report:
    """Return a report in which everything is set, made anew at every call."""
    certificate = CertificateFacts(1.0, 2.0, "CN=smtp", "CN=ca", (f"smtp{'.'}example.org",), "ab" * 32, False, True)
    return Report(
        check=name,
        started_at=1.0,
        seconds=2.0,
        outcome=Outcome.CRITICAL,
        steps=(
            Step(Phase.CONNECT, 0.0, 0.5),
            Step(
                Phase.AUTH,
                0.5,
                0.5,
                (Exchange("AUTH XOAUTH2", Reply(535, "5.7.3", ("no!",)), challenge="{}"),),
                Fault(FaultKind.REPLY, "x"),
            ),
        ),
        cause=Cause.USER_MISMATCH,
        findings=(Finding(Cause.USER_MISMATCH, 0.9, "rule", ("evidence",), {"mailbox": name}),),
        token=TokenFacts("f", "jwt", 1.0, 2.0, "s", 3, {"aud": "a"}, True),
        tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", certificate),
        attempts=(Attempt("192.0.2.1", 4, None),),
        mechanism="XOAUTH2",
        auth_line_length=12,
        waited=0.5,
    )
