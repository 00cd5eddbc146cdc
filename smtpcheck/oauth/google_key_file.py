"""What the file of a service account says of the account and of its key: no secret.

Rule of this file: nothing raises; a file that cannot be read, or is something else, says nothing.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"[^\s@/]{1,100}@([a-z0-9.:-]{1,200})")
_OF_PROJECT = ".iam.gserviceaccount.com"
_IMPERSONATED = re.compile(r"/serviceAccounts/([^/:]{1,300}):generateAccessToken$")
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """Who a service account is; each part is empty where the file does not say it."""

    address: str = ""
    client_id: str = ""
    """The numeric id that domain-wide delegation names."""
    key_id: str = ""
    """Of the key in the file; a federation has none."""
    token_uri: str = ""

    @property
    def project(self) -> str:
        """The project that the account is of, by its address; `-`, which means any, where that does not say it."""
        domain = self.address.partition("@")[2]
        project = domain.removesuffix(_OF_PROJECT)
        return project if project != domain and "." not in project else "-"


def read_identity(path: Path, address: str | None = None) -> AccountIdentity:
    """Return what a key's file says, or that of a federation; `address` is the account's where it is configured."""
    info = _read(path)
    impersonated = _IMPERSONATED.search(_text(info, "service_account_impersonation_url"))
    found = address or _text(info, "client_email") or (impersonated[1] if impersonated else "")
    is_key = info.get("type") == "service_account"
    return AccountIdentity(
        address=found if _ADDRESS.fullmatch(found) else "",
        client_id=_text(info, "client_id") if is_key else "",
        key_id=_text(info, "private_key_id") if is_key else "",
        token_uri=_text(info, "token_uri"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            info = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def _text(info: dict[str, Any], key: str) -> str:
    value = info.get(key)
    return value if isinstance(value, str) and len(value) <= 300 and value.isprintable() else ""
