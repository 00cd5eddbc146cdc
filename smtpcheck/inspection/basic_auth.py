"""Who still logs in to SMTP with a password: the list that a tenant needs before passwords are off at Microsoft.

Rules of this file:
- It is asked for by a user alone, never by the agent, and nothing of it is kept: every row names a person.
- A log that is longer than the pages that are read is shown as far as it was read, and said to be so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from smtpcheck.inspection import members
from smtpcheck.inspection.graph import GraphPath, GraphReader
from smtpcheck.model.timestamp import rfc3339

DAYS = 30
"""How far back the log goes with Entra ID P1."""
_MOST_ADDRESSES = 10


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """The logins of one account to SMTP with a password."""

    account: str
    succeeded: int
    failed: int
    addresses: tuple[str, ...]
    """From where, the first ones that were seen."""
    last_at: float | None
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class PasswordLogins:
    """What the sign-in log says."""

    accounts: tuple[PasswordLogin, ...]
    """Those with most logins first."""
    is_whole: bool
    """Whether the log was read to its end."""


async def password_logins(graph: GraphReader, now: float) -> PasswordLogins:
    """Return who logged in to SMTP with a password in the last `DAYS` days. Raises NotReadableError."""
    listing = await graph.listing(GraphPath.PASSWORD_SIGN_INS, since=rfc3339(now - DAYS * 86400.0))
    found: dict[str, PasswordLogin] = {}
    for item in listing.items:
        account = members.text(item.members, "userPrincipalName", 320).casefold()
        if account:
            at = members.moment(item.members, "createdDateTime", item.offset)
            found[account] = _counted(found.get(account) or PasswordLogin(account, 0, 0, (), None), item.members, at)
    ranked = sorted(found.values(), key=lambda each: (-each.succeeded - each.failed, each.account))
    return PasswordLogins(tuple(ranked), listing.is_whole)


def _counted(before: PasswordLogin, row: Mapping[str, object], at: float | None) -> PasswordLogin:
    status = row.get("status")
    succeeded = isinstance(status, Mapping) and members.number(status, "errorCode") == 0
    address = members.text(row, "ipAddress", 60)
    addresses = tuple(dict.fromkeys((*before.addresses, *([address] if address else []))))[:_MOST_ADDRESSES]
    times = [each for each in (before.last_at, at) if each is not None]
    return PasswordLogin(
        *(before.account, before.succeeded + succeeded, before.failed + (not succeeded), addresses),
        last_at=max(times, default=None),
    )
