"""Configurations of smtpcheck in the documents, and how a part of one is completed.

Rules of this file:
- The names of credentials are those of `checks.example.yaml`: what a block uses and does not have is taken from another
  block of its document, or else from there. Where a block shows only some keys of a credential, the others are too.
- Each credential that no check of the block uses gets a check, so that it is examined as one that is used.
- Keys of a check without a check around them are those of the check `billing`.
- The only problems that a block may have are secrets and keys in files that the reader does not have yet.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from smtpcheck.config import load
from smtpcheck.config.models import CheckSection
from smtpcheck.config.problems import Problems
from smtpcheck.config.yaml_reader import parse
from tests.docs.documents import ROOT, Block, read

PARTS = {"agent", "defaults", "credentials", "checks", "alerts"}
CHECK_KEYS = {field.alias or name for name, field in CheckSection.model_fields.items()}
FILES = {"mailboxes.csv": "mailbox,labels.team\neast@contoso.com,sales\n"}
"""What the configurations read besides secrets."""
BILLING = {
    "name": "billing",
    "mailbox": "billing@contoso.com",
    "credential": "contoso",
    "labels": {"team": "finance"},
}
IMPLIED = ("microsoft", "google")
"""Types of credentials that begin so imply the server."""
WHERE: dict[str, dict[str, Any]] = {"api-key": {"via": {"api": "sendgrid"}}, "aws": {"via": {"api": "ses"}}}
SECRET = re.compile(r"the secret cannot be read: |file \S+ cannot be read")


def value_of(block: Block) -> tuple[Any, list[str]]:
    """Return what a YAML block says, and what is wrong with it as YAML."""
    problems = Problems(strict=True)
    shown = "\n".join(line if line.strip() != "..." else "" for line in block.text.splitlines())
    parse(shown.encode(), str(block), problems)
    found = [str(problem) for problem in problems.in_order([str(block)])]
    return None if found else yaml.safe_load(shown), found


def is_configuration(value: Any) -> bool:
    """Return whether the keys are those of a configuration or of a check."""
    keys = set(value) if isinstance(value, Mapping) else set()
    return bool(keys) and ({key for key in keys if not str(key).startswith("x-")} <= PARTS or keys <= CHECK_KEYS)


def problems_of(block: Block, folder: Path) -> list[str]:
    """Load what the block says from a folder, and return its problems."""
    value, problems = value_of(block)
    for name, content in {**FILES, **_apis(block.file)}.items():
        (folder / name).write_text(content)
    path = folder / "checks.yaml"
    path.write_text(yaml.safe_dump(completed(value, block.file), sort_keys=False))
    found = [f"{problem.path}: {problem.message}" for problem in load([path]).problems]
    return problems + [problem for problem in found if not SECRET.match(problem.partition(": ")[2])]


def completed(value: Mapping[str, Any], document: str) -> dict[str, Any]:
    """Return a whole configuration that has this part."""
    whole: dict[str, Any] = dict(value) if set(value) & PARTS else {"checks": [{**BILLING, **value}]}
    known = _credentials(document)
    own = {
        name: given if "type" in given else {**known.get(name, {}), **given}
        for name, given in (whole.get("credentials") or {}).items()
    }
    checks = list(whole.get("checks") or ())
    used = {check.get("credential") for check in checks} | _inspectors(own)
    checks += [_check_of(name, given) for name, given in own.items() if name not in used]
    return {**whole, "credentials": {**known, **own}, "checks": checks or [BILLING]}


def shown_before(block: Block) -> str | None:
    """Return the last configuration with credentials above a block of its document, completed; None without one."""
    above = [each for each in read(block.file).blocks if each.language == "yaml" and each.line < block.line]
    values = [value for each in above if is_configuration(value := value_of(each)[0]) and "credentials" in value]
    return yaml.safe_dump(completed(values[-1], block.file), sort_keys=False) if values else None


def _check_of(name: str, credential: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(credential.get("type"))
    where = {} if kind.startswith(IMPLIED) else WHERE.get(kind, {"server": {"host": "mail.example.org"}})
    return {"name": f"with-{name}", "mailbox": "anna@example.org", "credential": name, **where}


def _inspectors(credentials: Mapping[str, Any]) -> set[str]:
    return {given["inspect"]["by"] for given in credentials.values() if "inspect" in given}


@cache
def _credentials(document: str) -> dict[str, Any]:
    """Return every credential that a block of the document need not have itself."""
    found: dict[str, Any] = dict(yaml.safe_load((ROOT / "checks.example.yaml").read_text())["credentials"])
    for block in read(document).blocks:
        value = value_of(block)[0] if block.language == "yaml" else None
        if value and is_configuration(value):
            whole = {name: given for name, given in (value.get("credentials") or {}).items() if "type" in given}
            found |= whole
    return found


def _apis(document: str) -> dict[str, str]:
    """Return the descriptions of mail APIs that a document shows, by the file that `via` would name."""
    return {
        f"{value['api']}.yaml": block.text
        for block in read(document).blocks
        if block.language == "yaml" and is_api(value := value_of(block)[0])
    }


def is_api(value: Any) -> bool:
    """Return whether the keys are those of the description of a mail API."""
    return isinstance(value, Mapping) and {"api", "send"} <= set(value)
