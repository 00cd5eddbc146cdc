"""Is the service account enabled, which keys has it, and is the key of the local file among them?

The local file's key is compared by its id alone. A list that is longer than any account may have is not used: what is
missing from its part that was read would not be known.
https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys/list
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smtpcheck.inspection import members
from smtpcheck.inspection.google import IAM_SCOPE, GoogleItem, GooglePath
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import SERVICE_ACCOUNT, About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import Fact, FactName, Obstacle
from smtpcheck.model.timestamp import rfc3339

_REASON = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_"
_MOST_KEYS = 100
"""More than an account may have, which is ten (https://cloud.google.com/iam/quotas)."""


async def _ask(asked: Asked) -> Answer:
    account = asked.subject.account
    if not account.address:
        raise NotReadableError(Obstacle.UNAVAILABLE, "the key's file does not name a service account")
    named = {"project": account.project, "account": account.address}
    found = await asked.google.get(GooglePath.SERVICE_ACCOUNT, IAM_SCOPE, **named)
    if found is None:
        return (asked.fact(FactName.SERVICE_ACCOUNT_EXISTS, GooglePath.SERVICE_ACCOUNT, value=False),)
    if members.text(found.members, "email", 320).casefold() != account.address.casefold():
        raise NotReadableError(Obstacle.UNEXPECTED, "the answer is about another service account")
    keys = await asked.google.get(GooglePath.KEYS, IAM_SCOPE, **named)
    listed = () if keys is None else _Keys(asked, keys).facts()
    return (*_of_account(asked, found.members), *listed)


def _of_account(asked: Asked, account: Mapping[str, Any]) -> Iterator[Fact]:
    by = GooglePath.SERVICE_ACCOUNT
    yield asked.fact(FactName.SERVICE_ACCOUNT_EXISTS, by, value=True)
    disabled = members.flag(account, "disabled")
    if disabled is not None or "disabled" not in account:  # false is left out of Google's JSON
        yield asked.fact(FactName.SERVICE_ACCOUNT_ENABLED, by, value=not disabled)
    if identifier := members.digits(account, "uniqueId"):
        yield asked.fact(FactName.SERVICE_ACCOUNT_CLIENT_ID, by, value=identifier)


class _Keys:
    """The keys of an account, as IAM lists them."""

    def __init__(self, asked: Asked, item: GoogleItem) -> None:
        """Raise NotReadableError where the list cannot be whole, or a key in it cannot be read."""
        raw = item.members.get("keys", [])
        if not isinstance(raw, list) or len(raw) > _MOST_KEYS:
            raise NotReadableError(Obstacle.UNEXPECTED, "the answer lists more keys than a service account may have")
        listed = members.objects(item.members, "keys")
        self._asked, self._offset = asked, item.offset
        self._keys = {_id_of(key): key for key in listed}
        if "" in self._keys or len(listed) < len(raw):
            raise NotReadableError(Obstacle.UNEXPECTED, "the answer lists a key without an id")

    def facts(self) -> Iterator[Fact]:
        """Yield what is said of each key, and of the one in the local file."""
        for identifier, key in self._keys.items():
            since = members.moment(key, "validAfterTime", self._offset)
            yield self._fact(FactName.SERVICE_ACCOUNT_KEY, self._state(key), identifier, since)
            expires = members.moment(key, "validBeforeTime", self._offset)
            if expires is not None:
                yield self._fact(FactName.SERVICE_ACCOUNT_KEY_EXPIRES, rfc3339(expires), identifier, since)
        if local := self._asked.subject.account.key_id:
            mine = self._keys.get(local)
            yield self._fact(FactName.LOCAL_KEY, "not listed" if mine is None else self._state(mine), local, None)

    def _state(self, key: Mapping[str, Any]) -> str:
        if members.flag(key, "disabled"):
            reason = members.constant(key, "disableReason").removeprefix(_REASON).replace("_", " ").lower()
            return f"disabled ({reason})" if reason and reason != "unspecified" else "disabled"
        expires = members.moment(key, "validBeforeTime", self._offset)
        return "expired" if expires is not None and expires <= self._asked.now else "enabled"

    def _fact(self, name: FactName, value: str, item: str, since: float | None) -> Fact:
        return self._asked.fact(name, GooglePath.KEYS, value=value, item=item, changed_at=since)


def _id_of(key: Mapping[str, Any]) -> str:
    identifier = members.text(key, "name", 600).rpartition("/keys/")[2]
    return identifier if identifier.isascii() and identifier.isalnum() else ""


SERVICE_ACCOUNT_KEYS = Question(
    "service_account",
    "the service account and its keys: enabled, expiry, the one in use",
    About.APPLICATION,
    Needs(Api.IAM, (IAM_SCOPE,), directory_roles=("roles/iam.serviceAccountViewer in the project",), requests=2),
    _ask,
    (
        FactName.SERVICE_ACCOUNT_EXISTS,
        FactName.SERVICE_ACCOUNT_ENABLED,
        FactName.SERVICE_ACCOUNT_CLIENT_ID,
        FactName.SERVICE_ACCOUNT_KEY,
        FactName.SERVICE_ACCOUNT_KEY_EXPIRES,
        FactName.LOCAL_KEY,
    ),
    of=SERVICE_ACCOUNT,
)
