"""The real failures of the corpora, in both forms: as they were observed, and as people paste them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from smtpcheck.diagnosis.events import failures_of
from smtpcheck.diagnosis.explain import Catalogue, explain
from smtpcheck.diagnosis.observation import from_case
from smtpcheck.model.report import Finding

FOLDER = Path(__file__).parent.parent / "corpus"
FORMS = ("observed", "pasted")
AREAS = {
    "token": "token",
    "dns": "network",
    "connect": "network",
    "banner": "network",
    "starttls": "network",
    "tls": "network",
    "delivery": "delivery",
}
"""The area of a phase; every other one is the SMTP dialogue."""


def cases(form: str) -> Iterator[dict[str, Any]]:
    """Yield the cases of every corpus that have the form: what was observed, or what a user pastes."""
    for file in sorted(FOLDER.glob("*.yaml")):
        for case in yaml.load(file.read_bytes(), yaml.CSafeLoader).get("cases", ()):
            if "observed" in case if form == "observed" else pasted(case).strip():
                yield case


def replies() -> list[dict[str, Any]]:
    """Return the rows of what servers, issuers and mail APIs answer."""
    rows: list[dict[str, Any]] = yaml.safe_load((FOLDER / "replies.yaml").read_text("utf-8"))["rows"]
    return rows


def area_of(case: Mapping[str, Any]) -> str:
    """Return the area of a case, for the score."""
    return case.get("area") or AREAS.get(case["observed"].get("phase") or "", "SMTP")


def pasted(case: Mapping[str, Any]) -> str:
    """Return the text of a case as people paste it.

    It is what was posted, where the case has it. Else it is what a program would have shown of the observation, one
    below the other: the lines of EHLO, the issuer's JSON, the server's reply, the exception. Provider, flow and phase
    are left out, for nobody pastes those.
    """
    if case.get("pasted"):
        return str(case["pasted"])
    seen = case["observed"]
    error = seen.get("token_error")
    parts = (
        _lines(seen.get("ehlo")),
        error if isinstance(error, str) else json.dumps(error) if error else "",
        _lines(seen.get("smtp_reply")),
        seen.get("exception") or "",
    )
    return "\n".join(part for part in parts if part)


def findings(case: Mapping[str, Any], form: str, catalogue: Catalogue) -> tuple[Finding, ...]:
    """Return what is found in a case in one form."""
    if form == "observed":
        return explain(from_case(case), catalogue)
    return failures_of(pasted(case), catalogue)[0].findings


def _lines(value: object) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
