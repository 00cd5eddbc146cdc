"""What Google says to administrators: users of the Directory, service accounts and their keys, published incidents.

Rules of this file:
- All of it is at the issuer's own address, and takes that issuer's tokens. A service account reads by the roles that
  it has been given, not by delegation.
- Answers have the members of Google's discovery documents, and leave out what is false as IAM does; refusals have the
  form of https://google.aip.dev/193.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from smtpcheck.sandbox.gmail_api import Bearer, refusal
from smtpcheck.sandbox.google_accounts import DIRECTORY_SCOPE, IAM_SCOPE, GoogleUser, ServiceAccount

_NEVER = "9999-12-31T23:59:59Z"


class GoogleAdmin:
    """The interfaces for the administrators of one customer.

    Attributes:
        directory_readers: the addresses of those who have the privilege to read users.
        iam_viewers: the addresses of those who have the role to see service accounts.
        disabled: whether the APIs are not enabled in the project.
        throttled: how many of the next requests are answered with 429.
        incidents: what the status dashboard lists.
        asked: how often each kind of object was asked for so far.
        lies: what is answered instead of the truth, by the kind of object.
        tokens_for_the_public: how often a token came with a request for what anybody may read.
    """

    def __init__(
        self,
        users: Callable[[], Mapping[str, GoogleUser]],
        accounts: Callable[[], Mapping[str, ServiceAccount]],
        bearer: Callable[[str], Bearer | None],
    ) -> None:
        """Answer for these users and accounts; `bearer` returns what is behind a token."""
        self._users, self._accounts, self._bearer = users, accounts, bearer
        self.directory_readers: set[str] = set()
        self.iam_viewers: set[str] = set()
        self.disabled = False
        self.throttled = 0
        self.incidents: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.lies: dict[str, object] = {}
        self.tokens_for_the_public = 0

    def serve(self, app: web.Application) -> None:
        """Add its addresses to an application."""
        app.router.add_get("/admin/directory/v1/users/{key}", self._user)
        app.router.add_get("/v1/projects/{project}/serviceAccounts/{account}", self._account)
        app.router.add_get("/v1/projects/{project}/serviceAccounts/{account}/keys", self._keys)
        app.router.add_get("/appsstatus/dashboard/incidents.json", self._incidents)

    async def _user(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request, "users", DIRECTORY_SCOPE, self.directory_readers)) is not None:
            return refused
        key = request.match_info["key"].casefold()
        user = next((each for each in self._users().values() if key in each.addresses), None)
        if user is None or user.deleted:
            return refusal(404, "NOT_FOUND", "notFound", "Resource Not Found: userKey")
        content: dict[str, object] = {
            "kind": "admin#directory#user",
            "primaryEmail": user.address,
            "suspended": user.suspended,
            "archived": user.archived,
            "isMailboxSetup": user.mailbox_created,
        }
        if user.aliases:
            content["aliases"] = list(user.aliases)
        if user.suspended:
            content["suspensionReason"] = user.suspension_reason
        wanted = set(request.query.get("fields", ",".join(content)).split(","))
        return self._answer("users", {name: value for name, value in content.items() if name in wanted})

    async def _account(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if isinstance(found, web.Response):
            return found
        project = found.email.partition("@")[2].partition(".")[0]
        content: dict[str, object] = {
            "name": f"projects/{project}/serviceAccounts/{found.email}",
            "projectId": project,
            "uniqueId": found.unique_id,
            "email": found.email,
            "oauth2ClientId": found.unique_id,
        }
        return self._answer("service accounts", {**content, "disabled": True} if found.disabled else content)

    async def _keys(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if isinstance(found, web.Response):
            return found
        listed = [
            {
                "name": f"projects/-/serviceAccounts/{found.email}/keys/{key_id}",
                "validAfterTime": "2026-01-01T00:00:00Z",
                "validBeforeTime": _time(found.key_ends[key_id]) if key_id in found.key_ends else _NEVER,
                "keyAlgorithm": "KEY_ALG_RSA_2048",
                "keyOrigin": "GOOGLE_PROVIDED",
                "keyType": "USER_MANAGED",
                **_state(found.disabled_keys.get(key_id)),
            }
            for key_id in found.keys
        ]
        return self._answer("keys", {"keys": listed} if listed else {})

    async def _incidents(self, request: web.Request) -> web.Response:
        self.asked["incidents"] += 1
        self.tokens_for_the_public += "Authorization" in request.headers
        return self._answer("incidents", self.incidents)

    def _answer(self, kind: str, content: object) -> web.Response:
        return web.json_response(self.lies.get(kind, content))

    def _found(self, request: web.Request) -> ServiceAccount | web.Response:
        """Return the service account that a request names, or the refusal."""
        if (refused := self._refused(request, "service accounts", IAM_SCOPE, self.iam_viewers)) is not None:
            return refused
        account = self._accounts().get(request.match_info["account"])
        if account is None and request.match_info["project"] == "-":
            return refusal(403, "PERMISSION_DENIED", "forbidden", "Permission 'iam.serviceAccounts.get' denied.")
        return account or refusal(404, "NOT_FOUND", "notFound", "Unknown service account")

    def _refused(self, request: web.Request, kind: str, scope: str, readers: set[str]) -> web.Response | None:
        self.asked[kind] += 1
        bearer = self._bearer(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if bearer is None:
            return refusal(401, "UNAUTHENTICATED", "authError", "Invalid Credentials")
        if self.disabled:
            return refusal(403, "PERMISSION_DENIED", "accessNotConfigured", "The API is disabled in this project.")
        if self.throttled > 0:
            self.throttled -= 1
            return refusal(429, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded.")
        if scope not in bearer.scopes:
            message = "Request had insufficient authentication scopes."
            return refusal(403, "PERMISSION_DENIED", "insufficientPermissions", message)
        if bearer.address not in readers:
            return refusal(403, "PERMISSION_DENIED", "forbidden", "Not Authorized to access this resource/api")
        return None


def gmail_incident() -> dict[str, Any]:
    """Return an open incident of Gmail, as the status dashboard lists it."""
    update = {
        "created": "2026-11-27T02:50:00+00:00",
        "modified": "2026-11-27T02:50:00+00:00",
        "when": "2026-11-27T02:50:00+00:00",
        "text": "We are investigating delayed delivery.",
        "status": "SERVICE_DISRUPTION",
    }
    return {
        "id": "nRLbNyPEvSuFU6hxqbPJ",
        "number": "4711471147114711471",
        "begin": "2026-11-27T02:30:00+00:00",
        "created": "2026-11-27T02:50:00+00:00",
        "modified": "2026-11-27T02:50:00+00:00",
        "external_desc": "Gmail: users may see delayed delivery",
        "updates": [update],
        "most_recent_update": update,
        "status_impact": "SERVICE_DISRUPTION",
        "severity": "medium",
        "service_key": "prPt2Yra2CbGsbEm9cpC",
        "service_name": "Gmail",
        "affected_products": [{"title": "Gmail", "id": "prPt2Yra2CbGsbEm9cpC"}],
        "uri": "incidents/nRLbNyPEvSuFU6hxqbPJ",
    }


def _state(reason: str | None) -> dict[str, object]:
    return {} if reason is None else {"disabled": True, "disableReason": reason}


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
