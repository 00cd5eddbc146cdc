"""What the doctor says of a check by a mail API where SMTP would be another matter: permissions, scope, request.

Rules of this file:
- Pure: it assesses what was measured. What an API needs is its own to say (`mail_api`).
- A token without `roles` is legal: Exchange's RBAC for applications grants without a claim.
"""

from collections.abc import Iterator

from smtpcheck.cli.doctor.evidence import Evidence, words
from smtpcheck.cli.doctor.result import Note, failed, hint, ok, skipped, warning
from smtpcheck.http_client.urls import host_of
from smtpcheck.mail_api.api import MailApi
from smtpcheck.mail_api.apis import api_of
from smtpcheck.model.check import Check, Depth
from smtpcheck.oauth.clouds import CLOUDS

GRAPH_ID = "00000003-0000-0000-c000-000000000000"
_GRAPH_HOSTS = frozenset(facts.graph for facts in CLOUDS.values())


def api_of_check(check: Check) -> MailApi | None:
    """Return the mail API of a check, None for one by SMTP."""
    return api_of(check.via) if check.via is not None else None


def permissions(evidence: Evidence, api: MailApi) -> Iterator[Note]:
    """Yield what the token grants, and whether that is what the API needs."""
    granted = (*words(evidence.claims.get("roles")), *words(evidence.claims.get("scp")))
    needed = [each for each in api.permissions if each in granted]
    if needed:
        yield ok(f"the token grants {', '.join(needed)}, which {api.name} requires")
    elif not api.permissions:
        yield ok(f"the token grants {', '.join(granted)}") if granted else skipped("the token names no permissions")
    elif not granted and api.name == "graph":
        yield hint(
            "the token names no roles: right where Exchange's RBAC for applications grants 'Application Mail.Send', "
            "otherwise the consent to the application permission Mail.Send of Microsoft Graph is missing"
        )
    else:
        named = ", ".join(granted) or "nothing that it names"
        yield warning(f"the token grants {named}; {api.name} requires {' or '.join(api.permissions)}")


def scopes(evidence: Evidence, api: MailApi) -> Iterator[Note]:
    """Yield which scope was requested, and for whom the token is."""
    error, credential = evidence.token_error, evidence.credential
    requested = evidence.check.scope or (error.requested_scope if error else "")
    requested = requested or (credential.scope if credential else "")
    audience = " ".join(words(evidence.claims.get("aud")))
    if requested:
        yield ok(f"{requested} is requested")
    if audience and api.name == "graph":
        bare = audience.rstrip("/")
        if bare == GRAPH_ID or host_of(bare) in _GRAPH_HOSTS:
            yield ok(f"the token is for Microsoft Graph ({audience})")
        else:
            yield failed(f"the token is for {audience}, not for Microsoft Graph, which refuses it")
    elif audience:
        yield ok(f"the token is for {audience}")
    elif not requested:
        yield skipped("no scope is requested, and there is no token that names its audience")


def taken(check: Check) -> str:
    """Return what it means that the API accepted the request of a run."""
    if check.depth is Depth.SEND:
        return "the message is accepted; this does not prove that it arrives"
    return f"the right to send from {check.mailbox} is proven; nothing was sent"
