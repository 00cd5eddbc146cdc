"""The form of a description: one YAML file that says how an HTTP mail API is spoken to and how its answers are read.

Rules of this file:
- Data only: nothing is read, opened or sent here. What cannot work, or could do harm, is refused with what to write.
- A proof must not be able to send: it knows no recipient, no subject and no text, and an address that is written in it
  must end in `.invalid`, which is never delivered to (RFC 2606 2).
- A key goes where `key` says and nowhere else: no path, header or body may name it.
- The descriptions are the texts that an editor shows by the JSON Schema.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from smtpcheck.mail_api.template import names_in, texts_of
from smtpcheck.model.cause import Cause

PLACEHOLDERS = frozenset(
    {"sender", "recipient", "mailbox", "domain", "template", "subject", "text", "unique", "message_id", "check"}
)
"""What a template may name: addresses, the domain (`via: domain`, else the sender's), the service's template, the
message's parts, its unique part, and the check's name."""
PROOF_PLACEHOLDERS = frozenset({"sender", "mailbox", "domain", "template"})
"""What a proof may name: nothing that would make it a message."""

_PATH = re.compile(r"[A-Za-z0-9_@-]{1,64}(?:\.[A-Za-z0-9_@-]{1,64}){0,7}")
_ADDRESS = re.compile(r"[^\s@<>\"]{1,64}@([^\s@<>\"]{1,253})")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "cookie", "authorization"})
_MOST_ROWS = 200


def _https(url: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.-]{1,253}(?::\d{1,5})?(?:/[\w.~{}/-]{0,200})?", url):
        raise ValueError("must be an address that begins with https:// and has no user, query or fragment")
    return url.rstrip("/")


def _call_path(path: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9_.~{}@/:-]{0,300}(?:\?[A-Za-z0-9_.~{}=&-]{1,200})?", path):
        raise ValueError("must be a path that begins with /, without spaces and fragment")
    return path


def _body_path(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError("must name a value of the answer's JSON, such as errors.0.message")
    return path


def _header(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
        raise ValueError("is not a header that may be set here")
    return name


Https = Annotated[str, Field(max_length=500), AfterValidator(_https)]
BodyPath = Annotated[str, AfterValidator(_body_path)]
"""A value of a JSON body: keys and indices joined by dots, such as `errors.0.message`."""
Status = Annotated[int, Field(ge=100, le=599)]
Certainty = Annotated[float, Field(gt=0, le=1)]


class Part(BaseModel):
    """A part of a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KeyPlace(Part):
    """Where the key goes; exactly one of the three."""

    header: Annotated[str, Field(pattern=_HEADER.pattern)] | None = Field(
        default=None, description="The header that has the key, such as Authorization."
    )
    scheme: str = Field(default="", pattern=r"^[A-Za-z]{0,20}$", description="The word before it, such as Bearer.")
    basic: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="The user of HTTP Basic, the key its password; empty: the key is the user, secret the password.",
    )
    field: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None, description="The field of the body that has the key."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("header", "basic", "field") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have exactly one of header, basic and field; it has {' and '.join(given) or 'none'}"
            )
        if self.scheme and self.header is None:
            raise ValueError("scheme has no effect without header")
        return self

    @property
    def needs_secret(self) -> bool:
        """Whether the credential needs a second half, `secret`."""
        return self.basic == ""


class Match(Part):
    """What an answer must have; each that is given must fit."""

    status: tuple[Status, ...] = Field(default=(), description="One of these HTTP statuses.")
    code: tuple[str | int, ...] = Field(default=(), description="One of these codes of the API, from `answer.code`.")
    text: tuple[Annotated[str, Field(min_length=3)], ...] = Field(
        default=(), description="One of these in the answer's text, whatever the case of its letters."
    )
    body: dict[BodyPath, tuple[str | int | bool, ...]] = Field(
        default={}, description="Values of the body: each is one of these, or a list that has one of these."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.status or self.code or self.text or self.body):
            raise ValueError("must have status, code, text or body")
        return self


class Success(Match):
    """When an answer is a success."""

    otherwise: Cause | None = Field(
        default=None, description="The cause where the status fits and the body does not, and no row of errors does."
    )


class ErrorRow(Match):
    """One error of the API and what it means."""

    cause: Cause = Field(description="Its cause; smtpcheck explain --list shows them all.")
    certainty: Certainty = Field(default=0.9, description="How sure that is, from 0 to 1.")
    also: dict[Cause, Certainty] = Field(default={}, description="Other causes of the same answer.")


class Call(Part):
    """One request."""

    method: Literal["GET", "POST", "PUT"] = Field(default="POST", description="The HTTP method.")
    path: Annotated[str, AfterValidator(_call_path)] = Field(description="Behind the address of the region.")
    form: Literal["json", "form"] = Field(default="json", description="How the body is written.")
    headers: dict[Annotated[str, AfterValidator(_header)], str] = Field(default={}, description="More headers.")
    body: dict[str, JsonValue] | None = Field(default=None, description="The body, a template.")
    success: Success = Field(description="When the answer is a success.")

    def texts(self) -> Iterator[str]:
        """Yield every text of the request that may have placeholders."""
        yield self.path
        yield from self.headers.values()
        yield from texts_of(self.body)

    @property
    def is_safe(self) -> bool:
        """Whether the method changes nothing (RFC 9110 9.2.1)."""
        return self.method == "GET"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        _check_names(self.texts(), PLACEHOLDERS)
        if self.is_safe and self.body is not None:
            raise ValueError("a GET has no body")
        return self


class Proof(Call):
    """A request that shows what the key may do, and cannot send."""

    proven_by: tuple[Match, ...] = Field(
        default=(), description="Refusals that prove the key all the same, such as one that says it may only send."
    )
    shows: str = Field(max_length=200, description="What a success shows, in a part of a sentence.")

    @model_validator(mode="after")
    def _cannot_send(self) -> Self:
        _check_names(self.texts(), PROOF_PLACEHOLDERS, "a proof must not be able to send")
        for text in self.texts():
            for found in _ADDRESS.finditer(text):
                if not found[1].lower().endswith(".invalid"):
                    raise ValueError(
                        f"a proof must not be able to send: write {found[0].partition('@')[0]}@example.invalid"
                    )
        return self


class Send(Call):
    """The request that sends one message."""

    message_id: BodyPath | None = Field(default=None, description="Where the answer's body has the message's id.")
    message_id_header: Annotated[str, Field(pattern=_HEADER.pattern)] | None = Field(
        default=None, description="The answer's header with the message's id."
    )
    idempotency_header: Annotated[str, AfterValidator(_header)] | None = Field(
        default=None,
        description="The header with a key of our own by which the API sees that a request is repeated. Without one no"
        " message is sent again after an uncertain end.",
    )
    carries_headers: bool = Field(
        default=True, description="Whether the message has the header X-Smtpcheck-Id, by which a loopback finds it."
    )

    @model_validator(mode="after")
    def _addresses_somebody(self) -> Self:
        if self.is_safe:
            raise ValueError("a message is sent by POST or PUT")
        if "recipient" not in {name for text in self.texts() for name in names_in(text)}:
            raise ValueError("the template must name {recipient}")
        return self


class AnswerForm(Part):
    """Where an answer's JSON says what went wrong."""

    code: tuple[BodyPath, ...] = Field(default=(), description="The API's own code; the first that is there.")
    message: tuple[BodyPath, ...] = Field(default=(), description="The explanation; the first that is there.")


class Limit(Part):
    """A limit that the service states for an account or a key."""

    what: Literal["requests", "messages"] = Field(description="What is counted.")
    count: int = Field(gt=0, description="How many.")
    seconds: int = Field(gt=0, description="In how many seconds.")


class Permission(Part):
    """A right that the key needs."""

    name: str = Field(max_length=80, description="As the service calls it.")
    for_: Literal["proof", "send"] = Field(alias="for", description="What it is needed for.")


class Description(Part):
    """An HTTP mail API."""

    api: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$", description="Its name.")
    about: str = Field(max_length=200, description="What it is, in one line.")
    references: tuple[Https, ...] = Field(min_length=1, description="Where the service documents it.")
    regions: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,30}$")], Https] = Field(
        min_length=1, description="The address for each region; the first one is the default."
    )
    key: KeyPlace = Field(description="Where the key goes.")
    proof: tuple[Proof, ...] = Field(
        default=(), max_length=3, description="Requests that prove the key without sending; all must succeed."
    )
    unprovable: str = Field(default="", max_length=200, description="Why there is no proof, where there is none.")
    send: Send = Field(description="How one message is sent.")
    answer: AnswerForm = Field(default=AnswerForm(), description="Where answers say what went wrong.")
    errors: tuple[ErrorRow, ...] = Field(
        default=(), max_length=_MOST_ROWS, description="What errors mean; the first row that fits decides."
    )
    limits: tuple[Limit, ...] = Field(
        default=(),
        description="Limits that the service states; validate warns of checks that exceed them.",
    )
    permissions: tuple[Permission, ...] = Field(default=(), description="The rights that the key needs.")

    @property
    def needs_domain(self) -> bool:
        """Whether a request names the sending domain."""
        return self._names("domain")

    @property
    def needs_template(self) -> bool:
        """Whether the service sends a template of its own."""
        return self._names("template")

    def _names(self, name: str) -> bool:
        calls = (*self.proof, self.send)
        return any(name in names_in(text) for call in calls for text in call.texts())

    @model_validator(mode="after")
    def _proof_or_reason(self) -> Self:
        if bool(self.proof) is bool(self.unprovable):
            raise ValueError("must have either proof, or unprovable with the reason")
        return self

    @model_validator(mode="after")
    def _field_needs_body(self) -> Self:
        if self.key.field is not None and any(call.body is None for call in (*self.proof, self.send)):
            raise ValueError("key.field needs a body in every request")
        return self


def _check_names(texts: Iterator[str], known: frozenset[str], reason: str = "") -> None:
    for text in texts:
        for name in names_in(text):
            if name not in known:
                why = f"{reason}: " if reason else ""
                raise ValueError(f"{why}{{{name}}} is not known here; known are {', '.join(sorted(known))}")


def description_of(raw: Any) -> Description:
    """Return a description from parsed YAML. Raises pydantic's ValidationError."""
    return Description.model_validate(raw)
