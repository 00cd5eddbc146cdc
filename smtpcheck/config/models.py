"""The form of `checks.yaml`, as pydantic models: what may be written, before any default is filled in.

Rules of this file:
- A key that a check may set and `defaults` may set too is optional here; `resolve` fills it in.
- The descriptions are the texts that an editor shows by the JSON Schema.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from smtpcheck.config.expect import ExpectSection
from smtpcheck.config.fields import (
    DepthName,
    Domain,
    Duration,
    Host,
    Instant,
    Labels,
    LoginName,
    Mailbox,
    NumberAsText,
    Period,
    parse_listen,
    parse_name,
    parse_url,
    parse_witness,
)
from smtpcheck.config.loopback import LoopbackSection
from smtpcheck.config.validation import ConfigSection
from smtpcheck.config.via import ViaSection
from smtpcheck.model.check import Depth, IpVersion, Mechanism, Security
from smtpcheck.secrets.source import ConfiguredPath, SecretSource


class OtlpSection(ConfigSection):
    """An endpoint of OpenTelemetry's protocol, over HTTP."""

    endpoint: str = Field(
        pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$", description="A URL, such as http://collector:4318."
    )
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], SecretSource] = Field(
        default={}, description="Headers of each request; their values are secrets."
    )


class AgentSection(ConfigSection):
    """What concerns the agent as a whole."""

    listen: Annotated[tuple[str, int], PlainValidator(parse_listen), WithJsonSchema({"type": "string"})] = Field(
        default=("127.0.0.1", 9587), description="host:port of the web page and the metrics."
    )
    state: ConfiguredPath | None = Field(default=None, description="The folder of what survives a restart.")
    max_open_connections: int = Field(default=200, ge=1, le=10_000, description="SMTP connections open at once.")
    expose_addresses: bool = Field(
        default=False,
        description="Whether metrics may show mailboxes, and the page to its users what the provider says.",
    )
    fresh_every: Period = Field(
        default=3600.0, description="A token is force-refreshed, bypassing caches, at least this often."
    )
    connectivity: tuple[
        Annotated[tuple[str, int], PlainValidator(parse_witness), WithJsonSchema({"type": "string"})], ...
    ] = Field(
        default=(),
        description="Independent witnesses, host:port: the agent has no connectivity only if these fail too.",
    )
    external_url: Annotated[str, AfterValidator(parse_url)] | None = Field(
        default=None,
        description="Where others find the page, such as https://smtpcheck.example.org; alerts link to it.",
    )
    otlp: OtlpSection | None = Field(default=None, description="Where traces of the runs go.")
    token_key: SecretSource | None = Field(
        default=None, description="What refresh tokens are encrypted with on disk; without it they are not."
    )


class WarnSection(ConfigSection):
    """When a check that still works becomes a warning."""

    certificate: Duration | None = Field(
        default=None, description="Before the server's certificate expires. Default 14d."
    )
    secret: Duration | None = Field(
        default=None, description="Before the client secret or certificate expires. Default 30d."
    )
    refresh_token: Duration | None = Field(default=None, description="Before the refresh token expires. Default 14d.")
    duration: Duration | None = Field(default=None, description="When a run takes longer. Default 10s.")


class DefaultsSection(ConfigSection):
    """What holds for every check that does not say otherwise."""

    interval: Period = Field(default=60.0, description="The interval between runs.")
    timeout: Period = Field(default=20.0, description="For the SMTP part of one run.")
    token_timeout: Period = Field(default=10.0, description="How long one run waits for the issuer.")
    depth: DepthName = Field(default=Depth.AUTH, description="How far a check goes.")
    schedule: bool = Field(default=True, description="false: a check runs only when /probe or a user requests it.")
    warn: WarnSection = Field(default=WarnSection(), description="When a check that still works becomes a warning.")
    labels: Labels = Field(default={}, description="Labels of every check's metrics; a check's own win.")


class ServerSection(ConfigSection):
    """One SMTP endpoint; what is missing comes from the provider."""

    host: Host | None = Field(default=None, description="Its name.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Default 587.")
    security: Security | None = Field(
        default=None, description="How TLS starts. Default: implicit on port 465, else starttls."
    )
    ca_file: ConfiguredPath | None = Field(
        default=None, description="PEM certificates to trust instead of the system's."
    )
    server_name: Host | None = Field(
        default=None, description="The name that the certificate must cover. Default: the host."
    )
    ehlo: Domain | None = Field(default=None, description="The argument of EHLO. Default: this machine's full name.")
    ip_version: Annotated[IpVersion, NumberAsText, WithJsonSchema({"enum": ["any", "4", "6", 4, 6]})] = Field(
        default=IpVersion.ANY, description="Which addresses may be used."
    )
    min_tls: Annotated[Literal["1.2", "1.3"], NumberAsText, WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})] = Field(
        default="1.2", description="The oldest TLS accepted."
    )
    allow_plaintext: bool = Field(
        default=False, description="With `security: none`, whether a token may be sent in plaintext."
    )


class MailboxesFile(ConfigSection):
    """A table of mailboxes."""

    file: ConfiguredPath = Field(
        description="CSV with a column `mailbox` and any key of a check, such as `labels.team`."
    )


class CheckSection(ConfigSection):
    """What to do for one mailbox."""

    name: Annotated[str, AfterValidator(parse_name)] = Field(description="Unique; letters, digits, _ . and -.")
    mailbox: LoginName | None = Field(
        default=None,
        description="The SASL user; needed for a login. An address, except at Azure Communication Services.",
    )
    credential: str | None = Field(default=None, description="The name of a credential; needed for a login.")
    server: ServerSection = Field(default=ServerSection(), description="Default: the provider's.")
    via: ViaSection = Field(default=ViaSection(), description="A mail API in place of SMTP. Default: smtp.")
    depth: DepthName | None = Field(default=None, description="How far the check goes.")
    interval: Period | None = Field(default=None, description="The interval between runs.")
    schedule: bool | None = Field(default=None, description="false: it runs only when /probe or a user requests it.")
    timeout: Period | None = Field(default=None, description="For the SMTP part of one run.")
    token_timeout: Period | None = Field(default=None, description="How long one run waits for the issuer.")
    sender: Mailbox | None = Field(default=None, description="The envelope sender. Default: the mailbox.")
    recipient: Mailbox | None = Field(
        default=None, description="The envelope recipient; needed from depth recipient on."
    )
    mechanism: Mechanism | None = Field(
        default=None, description="The SASL mechanism. Default: what the server offers."
    )
    warn: WarnSection = Field(default=WarnSection(), description="When a check that still works becomes a warning.")
    labels: Labels = Field(default={}, description="Labels of its metrics.")
    expect: ExpectSection | None = Field(
        default=None, description="An expected refusal: it inverts the check. Default interval 24h."
    )
    loopback: LoopbackSection | None = Field(default=None, description="Messages that are sent and found.")
    granted: Instant | None = Field(
        default=None,
        description="When permissions were last granted, such as 2026-11-20T10:00Z: they take up to two hours.",
    )


class ChecksSection(CheckSection):
    """What to do for one mailbox, or for each of several."""

    name: str = Field(description="Unique. With mailboxes {local}, {domain} and {mailbox} are replaced by their parts.")
    mailboxes: MailboxesFile | list[Mailbox] | None = Field(default=None, description="One check for each of them.")
