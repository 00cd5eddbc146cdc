"""A mail API that a description describes: its requests are filled in, its answers read by its table.

Rules of this file:
- What the description says is all that is done: no service is treated in a way of its own here.
- A message is sent as the fields that its template names; the message's own headers are not, but for those it names.
"""

from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.policy import SMTPUTF8

from msgspec import structs

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.answer import Answer, Meaning, read_answer
from smtpcheck.mail_api.api import NOTHING, Facts, MailApi, Outgoing, Reading, Ruling, StatedLimit, answer_of
from smtpcheck.mail_api.description import Call, Description, Send
from smtpcheck.mail_api.key_placement import keyed
from smtpcheck.mail_api.template import as_form, as_json, filled, filled_path, filled_text
from smtpcheck.model.check import Check
from smtpcheck.secrets.secret import Secret

_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_RULINGS = {
    Meaning.DONE: Ruling.ACCEPTED,
    Meaning.REFUSED: Ruling.REFUSED,
    Meaning.UNEXPECTED: Ruling.SENT,
    Meaning.NOT_THE_API: Ruling.REFUSED,
}


class Described(MailApi):
    """The API of one description."""

    credential_types = frozenset({"api-key"})

    def __init__(self, description: Description) -> None:
        """Speak to it as the description says."""
        self.description = description
        self.name = description.api
        self.base = next(iter(description.regions.values()))
        self.permissions = tuple(right.name for right in description.permissions if right.for_ == "send")
        self.proves, self.unprovable = bool(description.proof), description.unprovable
        self.carries_headers = description.send.carries_headers
        self.needs_secret = description.key.needs_secret
        self.takes = frozenset(_options(description))
        self.needs = frozenset({"template"}) if description.needs_template else frozenset()
        self.limits = tuple(StatedLimit(each.what, each.count, each.seconds) for each in description.limits)
        self.repeats = description.send.idempotency_header is not None
        header = description.send.message_id_header
        self.kept_headers = ("location", *((header.lower(),) if header else ()))

    def base_in(self, region: str) -> str | None:
        """Return the address of a region, the first one without a name."""
        return self.description.regions.get(region) if region else self.base

    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return the requests of the description's proof."""
        return tuple(_request(call, check, _values(check)) for call in self.description.proof)

    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends the message."""
        return _request(self.description.send, check, _values(check) | _parts(outgoing))

    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:  # noqa: ARG002
        """Return what the response to one of the proof's requests says."""
        calls = zip(self.description.proof, self.proof(check), strict=True)
        call = next(call for call, made in calls if (made.method, made.url) == (response.method, response.url))
        return self._read(call, response)

    def read_message(self, check: Check, response: Response) -> Reading:  # noqa: ARG002
        """Return whether the message was taken."""
        return self._read(self.description.send, response)

    def authorized(self, check: Check, request: HttpRequest, secret: Secret, *, now: float) -> HttpRequest:  # noqa: ARG002
        """Return the request with the key where the description has it."""
        return keyed(request, self.description.key, secret)

    def _read(self, call: Call, response: Response) -> Reading:
        answer = Answer(response.status, response.headers, response.body, response.is_whole)
        said = read_answer(self.description, call, answer)
        kept = answer_of(response, error=said.code, text=said.message, message_id=said.message_id)
        return Reading(_RULINGS[said.meaning], structs.replace(kept, causes=said.causes))


def _options(description: Description) -> Iterator[str]:
    """Yield the keys of `via` that mean something for a description."""
    if len(description.regions) > 1:
        yield "region"
    if description.needs_domain:
        yield "domain"
    if description.needs_template:
        yield "template"


def _request(call: Call, check: Check, values: Mapping[str, str]) -> HttpRequest:
    via = check.via
    assert via is not None  # noqa: S101 - only a check by an API comes here
    headers = {"Accept": "application/json"}
    headers |= {name: filled_text(text, values) for name, text in call.headers.items()}
    if isinstance(call, Send) and call.idempotency_header is not None:
        headers[call.idempotency_header] = values["unique"]
    body = b""
    if call.body is not None:
        headers["Content-Type"] = _CONTENT_TYPES[call.form]
        tree = filled(call.body, values)
        body = as_json(tree) if call.form == "json" else as_form(tree)
    return HttpRequest(call.method, via.base + filled_path(call.path, values), headers, body)


def _values(check: Check) -> dict[str, str]:
    via = check.via
    domain = via.domain if via is not None and via.domain else check.sender.rpartition("@")[2]
    return {
        "sender": check.sender,
        "mailbox": check.mailbox,
        "recipient": check.recipient or "",
        "domain": domain,
        "template": via.template if via is not None else "",
        "check": check.name,
    }


def _parts(outgoing: Outgoing) -> dict[str, str]:
    message = message_from_bytes(outgoing.content, policy=SMTPUTF8)
    body = message.get_body(("plain",))
    return {
        "subject": str(message["Subject"] or ""),
        "text": str(body.get_content()) if body is not None else "",
        "unique": outgoing.key,
        "message_id": str(message["Message-ID"] or ""),
    }
