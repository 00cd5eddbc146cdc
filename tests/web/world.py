"""A small world for the pages: an agent that has the shape of the real one and runs nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from smtpcheck.agent.alerting import Alerting
from smtpcheck.agent.on_demand import Busy, Probed
from smtpcheck.config.problems import Problem
from smtpcheck.config.settings import AgentSettings, Settings
from smtpcheck.diagnosis.catalogue import Catalogue
from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.model.backoff import Breaker
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import (
    Check,
    Phase,
    Warn,
)
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.inspection import Announcement, Incident, Inspection
from smtpcheck.model.report import (
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
from smtpcheck.output.metrics import Metrics
from smtpcheck.state.state import State
from smtpcheck.web.agent_view import InspectionView
from tests.worlds.samples import exchange_online

NOW = 1_792_000_000.0
"""2026-10-14 17:46:40 UTC."""
DAY = 86400.0


@dataclass(frozen=True)
class TooSoon:
    seconds: float


@dataclass(frozen=True)
class _Inspection:
    """What providers say, written down."""

    seen: tuple[Incident, ...]
    announced: tuple[Announcement, ...]
    read: Mapping[str, Inspection]
    next_reading: float | None

    def incidents(self) -> tuple[Incident, ...]:
        return self.seen

    def announcements(self) -> tuple[Announcement, ...]:
        return self.announced

    def found(self, credential: str) -> Inspection:
        return self.read.get(credential, Inspection())

    def next_reading_at(self, credential: str) -> float | None:
        del credential
        return self.next_reading


@dataclass
class World:
    """The agent's shape; what it is asked for is written down."""

    settings: Settings
    catalogue: Catalogue
    state: State = field(default_factory=State)
    states: tuple[CredentialState, ...] = ()
    is_ready: bool = True
    stuck: str = ""
    problems: tuple[Problem, ...] = ()
    answer: Report | TooSoon | Busy | None = None
    probed: Probed | Busy | None = None
    """What /probe is told; None: a run that is well."""
    asked: list[str] = field(default_factory=list)
    standings: dict[str, LoopbackStatus] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    """What providers have published."""
    announcements: tuple[Announcement, ...] = ()
    read: dict[str, Inspection] = field(default_factory=dict)
    """What the last reading brought, by credential."""
    next_reading: float | None = None
    """When the next one begins."""

    def __post_init__(self) -> None:
        self.alerting = Alerting(
            self.settings, self.state, self.catalogue, wall=lambda: NOW, unhealthy_reason=lambda: ""
        )

    @property
    def inspection(self) -> InspectionView:
        return _Inspection(self.incidents, self.announcements, self.read, self.next_reading)

    def ready(self) -> bool:
        return self.is_ready

    def unhealthy_reason(self) -> str:
        return self.stuck_reason() or self.state.error

    def stuck_reason(self) -> str:
        return self.stuck

    def next_run(self, name: str) -> float | None:
        return next((NOW + 30.0 + len(check.name) for check in self.settings.checks if check.name == name), None)

    def loopback(self, name: str) -> LoopbackStatus | None:
        return self.standings.get(name)

    def credentials(self) -> tuple[CredentialState, ...]:
        return self.states

    async def exposition(self, *, openmetrics: bool, join: Callable[[Iterable[bytes]], bytes]) -> bytes:
        return join([b"# openmetrics\n", b"# EOF\n"] if openmetrics else [b"smtpcheck_checks 3\n"])

    async def check_now(self, name: str) -> Report | TooSoon | Busy:
        self.asked.append(name)
        answer = self.answer or structs.replace(ok_report(name), started_at=NOW)
        if isinstance(answer, Report):
            self.record(answer)
        return answer

    async def probe_now(self, name: str, seconds: float) -> Probed | Busy:
        self.asked.append(f"{name} within {seconds:g}")
        checks = {check.name: check for check in self.settings.checks}
        return self.probed or Probed(checks[name], ok_report(name), Breaker(), None)

    def exposition_of(self, probed: Probed, *, openmetrics: bool) -> bytes:
        metrics = Metrics(self.settings.label_names, expose_addresses=False)
        return metrics.expose_probe(
            probed.check,
            probed.report,
            probed.breaker.until,
            suppressed=probed.resumes_at is not None,
            openmetrics=openmetrics,
        )

    async def reload(self) -> tuple[Problem, ...]:
        self.asked.append("reload")
        return self.problems

    def record(self, *reports: Report) -> None:
        checks = {check.name: check for check in self.settings.checks}
        for report in reports:
            self.state.record(checks[report.check], report)
            self.alerting.observe(checks[report.check], report)


def check(
    name: str, mailbox: str = "", *, labels: Sequence[tuple[str, str]] = (), credential: str = "contoso"
) -> Check:
    warn = Warn(certificate=14 * DAY, secret=30 * DAY, refresh_token=14 * DAY, duration=10.0)
    return exchange_online(
        name,
        mailbox=mailbox or f"{name}@contoso.example",
        credential=credential,
        warn=warn,
        labels=tuple(labels),
    )


BANNER = Reply(220, "", ("FR4P281CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready",))
EHLO = Reply(250, "", ("FR4P281CA0001.outlook.office365.com Hello [192.0.2.7]", "SIZE 157286400", "STARTTLS"))
EHLO_TLS = Reply(250, "", ("FR4P281CA0001.outlook.office365.com Hello [192.0.2.7]", "AUTH LOGIN XOAUTH2", "8BITMIME"))
ACCEPTED = Reply(235, "2.7.0", ("Authentication successful",))
REFUSED = Reply(535, "5.7.139", ("Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",))


def steps_to_tls() -> tuple[Step, ...]:
    return (
        Step(Phase.TOKEN, 0.0, 0.212),
        Step(Phase.DNS, 0.212, 0.014),
        Step(Phase.CONNECT, 0.226, 0.021),
        Step(Phase.BANNER, 0.247, 0.108, (Exchange("", BANNER),)),
        Step(Phase.EHLO, 0.355, 0.022, (Exchange("EHLO agent.contoso.example", EHLO),)),
        Step(Phase.STARTTLS, 0.377, 0.022, (Exchange("STARTTLS", Reply(220, "2.0.0", ("SMTP server ready",))),)),
        Step(Phase.TLS, 0.399, 0.048),
        Step(Phase.EHLO_TLS, 0.447, 0.023, (Exchange("EHLO agent.contoso.example", EHLO_TLS),)),
    )


def auth(answer: Reply, challenge: str = "") -> Step:
    exchanges = (
        Exchange("AUTH XOAUTH2", Reply(334, "", ("",)), challenge=challenge),
        Exchange("<1984 octets of credentials>", answer),
    )
    refused = None if answer.code == 235 else Fault(FaultKind.REPLY, str(answer))
    return Step(Phase.AUTH, 0.47, 0.264, exchanges, refused)


QUIT = Step(Phase.QUIT, 0.734, 0.021, (Exchange("QUIT", Reply(221, "2.0.0", ("Service closing",))),))


def certificate(not_after: float = NOW + 160 * DAY) -> CertificateFacts:
    return CertificateFacts(
        not_before=NOW - 200 * DAY,
        not_after=not_after,
        subject="CN=outlook.com, O=Microsoft Corporation",
        issuer="CN=DigiCert Cloud Services CA-1, O=DigiCert Inc",
        names=("outlook.com", "*.outlook.com", "smtp.office365.com", "*.office365.com"),
        fingerprint="5f" * 32,
        self_signed=False,
        verified=True,
    )


def token() -> TokenFacts:
    return TokenFacts(
        fingerprint="a1b2c3d4e5f6",
        form="jwt",
        acquired_at=NOW - 400,
        expires_at=NOW + 3199,
        scope="https://outlook.office365.com/.default",
        size=1984,
        claims={"aud": "https://outlook.office365.com", "roles": ["SMTP.SendAsApp"], "tid": "contoso", "appid": "0f1e"},
        from_cache=False,
    )


def ok_report(name: str, *, at: float = NOW - 20, not_after: float = NOW + 160 * DAY) -> Report:
    return Report(
        check=name,
        started_at=at,
        seconds=0.755,
        outcome=Outcome.OK,
        steps=(*steps_to_tls(), auth(ACCEPTED), QUIT),
        token=token(),
        tls=TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", certificate(not_after)),
        mechanism="XOAUTH2",
    )


def refused_report(name: str, *, at: float = NOW - 45, text: str = "") -> Report:
    """SMTP AUTH is off for the tenant; `text` stands in for what the server says."""
    answer = Reply(535, "5.7.139", (text,)) if text else REFUSED
    finding = Finding(
        Cause.SMTP_AUTH_DISABLED_TENANT,
        0.97,
        rule="exchange.smtp_auth_disabled_tenant",
        evidence=(f"the server answered AUTH with {answer}", "the token's audience and role are right"),
        values={"mailbox": f"{name}@contoso.example", "tenant": "contoso.onmicrosoft.com"},
    )
    second = structs.replace(finding, cause=Cause.SMTP_AUTH_DISABLED_MAILBOX, certainty=0.2)
    return structs.replace(
        ok_report(name, at=at),
        outcome=Outcome.CRITICAL,
        cause=finding.cause,
        findings=(finding, second),
        steps=(*steps_to_tls(), auth(answer, challenge='{"status":"400","schemes":"Bearer"}'), QUIT),
    )


def expiring_report(name: str) -> Report:
    ends = NOW + 9 * DAY
    finding = Finding(Cause.CERTIFICATE_EXPIRING, 1.0, "judge.certificate_expiring", ("it ends on 2026-10-23",))
    return structs.replace(ok_report(name, not_after=ends), outcome=Outcome.WARNING, warnings=(finding,))


def secret_report(name: str) -> Report:
    error = TokenError(
        TokenErrorKind.OAUTH,
        at=NOW - 15,
        endpoint="https://login.microsoftonline.com/fabrikam/oauth2/v2.0/token",
        http_status=401,
        error="invalid_client",
        error_codes=(7000222,),
        description="AADSTS7000222: The provided client secret keys for app '0f1e' are expired.",
        correlation_id="7d2f0f0e-3f5c-4a86-9a0b-5f6b6f0f7a11",
    )
    finding = Finding(Cause.SECRET_EXPIRED, 0.99, "entra.7000222", ("the issuer answered AADSTS7000222",))
    fault = Fault(FaultKind.TOKEN, "invalid_client")
    return Report(
        check=name,
        started_at=NOW - 15,
        seconds=0.42,
        outcome=Outcome.CRITICAL,
        steps=(Step(Phase.TOKEN, 0.0, 0.42, fault=fault),),
        cause=finding.cause,
        findings=(finding,),
        token_error=error,
    )


def cut_off_report(name: str) -> Report:
    finding = Finding(Cause.AGENT_CUT_OFF, 1.0, "judge.agent_cut_off", ("two hosts could not be reached",))
    step = Step(Phase.DNS, 0.0, 5.0, fault=Fault(FaultKind.NAME_SERVER_FAILED, "no answer"))
    return Report(name, NOW - 60, 5.0, Outcome.UNKNOWN, (step,), finding.cause, (finding,))


CONTOSO = CredentialState(
    name="contoso",
    type="microsoft",
    success=True,
    expires_at=NOW + 3199,
    acquisition_seconds=0.212,
    requests={"success": 41, "error": 0},
    fresh_success=True,
    client_secret_expires_at=NOW + 21 * DAY,
)
FABRIKAM = CredentialState(
    name="fabrikam",
    type="microsoft",
    success=False,
    acquisition_seconds=0.42,
    requests={"success": 12, "error": 30},
    fresh_success=False,
    error=secret_report("x").token_error,
    client_secret_expires_at=NOW - 2 * DAY,
)


def settings(*checks: Check) -> Settings:
    agent = AgentSettings(listen=("127.0.0.1", 0), state=Path("unused"))
    return Settings(agent=agent, checks=checks)


def rich_world(catalogue: Catalogue) -> World:
    """One check of each kind, with a history, and two credentials."""
    checks = (
        check("billing", labels=(("team", "finance"),)),
        check("invoices", labels=(("team", "finance"),)),
        check("newsletter", labels=(("team", "marketing"),)),
        check("orders", credential="fabrikam", labels=(("team", "shop"),)),
        check("printer-3rd-floor"),
        check("scanner"),
    )
    world = World(settings(*checks), catalogue, states=(CONTOSO, FABRIKAM))
    for age in range(58, 0, -1):
        past = ok_report("billing", at=NOW - 60.0 * age)
        seconds = 0.7 + (age * 37 % 50) / 100
        outcome = {7: Outcome.CRITICAL, 8: Outcome.CRITICAL, 20: Outcome.WARNING, 30: Outcome.UNKNOWN}.get(
            age, past.outcome
        )
        failed = structs.replace(refused_report("billing"), started_at=past.started_at, seconds=seconds)
        world.record(failed if outcome is Outcome.CRITICAL else structs.replace(past, seconds=seconds, outcome=outcome))
    world.record(
        refused_report("billing"),
        ok_report("invoices"),
        expiring_report("newsletter"),
        secret_report("orders"),
        cut_off_report("printer-3rd-floor"),
    )
    return world
