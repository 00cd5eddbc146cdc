"""Descriptions: what may be written, and that nothing of it can do harm."""

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from smtpcheck.mail_api.description import Description, description_of

GOOD: dict[str, Any] = {
    "api": "our-gateway",
    "about": "Our mail gateway",
    "references": ["https://gateway.example.org/docs"],
    "regions": {"global": "https://gateway.example.org/api"},
    "key": {"header": "X-Key"},
    "proof": [{"method": "GET", "path": "/me", "success": {"status": [200]}, "shows": "the key is known"}],
    "send": {"path": "/send", "body": {"to": "{recipient}", "text": "{text}"}, "success": {"status": [202]}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the description with one value changed."""
    raw = deepcopy(GOOD)
    *way, last = path.split(".")
    inner: Any = raw
    for name in way:
        inner = inner[int(name) if isinstance(inner, list) else name]
    inner[int(last) if isinstance(inner, list) else last] = value
    return raw


def test_a_description_is_what_it_says() -> None:
    description = description_of(GOOD)
    assert (description.needs_domain, description.needs_template, description.key.needs_secret) == (False, False, False)


def posted(body: dict[str, str]) -> dict[str, Any]:
    """Return a proof that posts a body."""
    return {"path": "/send", "body": body, "success": {"status": [200]}, "shows": "x"}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("regions.global", "http://gateway.example.org", "must be an address that begins with https://"),
        ("regions.global", "https://me:secret@gateway.example.org", "must be an address that begins with https://"),
        ("regions.global", "https://gateway.example.org?key=1", "must be an address that begins with https://"),
        ("key", {"header": "X-Key", "field": "key"}, "must have exactly one of header, basic and field"),
        ("key", {}, "must have exactly one of header, basic and field; it has none"),
        ("key", {"basic": "api", "scheme": "Bearer"}, "scheme has no effect without header"),
        ("key", {"field": "key"}, "key.field needs a body in every request"),
        ("proof", [], "must have either proof, or unprovable with the reason"),
        ("unprovable", "nothing is documented", "must have either proof, or unprovable with the reason"),
        ("proof.0.success", {}, "must have status, code, text or body"),
        ("proof.0.path", "/send/{recipient}", "a proof must not be able to send: {recipient} is not known here"),
        ("proof.0", posted({"to": "a@example.org"}), "a proof must not be able to send: write a@example.invalid"),
        ("proof.0", posted({"text": "{text}"}), "a proof must not be able to send: {text} is not known here"),
        ("proof.0.body", {"a": 1}, "a GET has no body"),
        ("send.body", {"to": "you"}, "the template must name {recipient}"),
        ("send.body", {"to": "{recipient}", "key": "{key}"}, "{key} is not known here"),
        ("send.method", "GET", "a GET has no body"),
        ("send.headers", {"Host": "evil.example"}, "is not a header that may be set here"),
        ("send.headers", {"Authorization": "x"}, "is not a header that may be set here"),
        ("send.path", "send", "must be a path that begins with /"),
        ("send.path", "/send#x", "must be a path that begins with /"),
        ("send.succes", {}, "Extra inputs are not permitted"),
        ("send.message_id", "a..b", "must name a value of the answer's JSON"),
        ("errors", [{"status": [401], "cause": "no_such_cause"}], "Input should be"),
        ("errors", [{"cause": "api_key_invalid"}], "must have status, code, text or body"),
    ],
)  # fmt: skip
def test_what_cannot_work_or_could_do_harm_is_refused(path: str, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        description_of(changed(path, value))
    assert sentence in "\n".join(error["msg"] for error in caught.value.errors())


def test_every_key_is_described_for_editors() -> None:
    schema = Description.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    fields = [(name, value) for model in models for name, value in model.get("properties", {}).items()]
    assert [name for name, value in fields if "description" not in value] == []
