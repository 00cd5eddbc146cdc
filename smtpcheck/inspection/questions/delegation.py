"""May the service account act for the mailbox with the scope that mail needs?

No interface of Google's lists the delegations. So a token is asked for, for this scope alone: it is given, or refused
because the scope is not delegated to the account. Any other refusal says nothing of the delegation.
https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
"""

from dataclasses import replace

from smtpcheck.inspection.google import TokenRequest
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.question import SERVICE_ACCOUNT, About, Answer, Api, Asked, Needs, Question
from smtpcheck.model.inspection import FactName, Obstacle
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.google_user import MAIL_SCOPE
from smtpcheck.oauth.token_cache import AcquiredToken

_NOT_DELEGATED = frozenset({"unauthorized_client", "access_denied"})


async def _ask(asked: Asked) -> Answer:
    scope = asked.subject.scope
    answer = await asked.google.request_token(asked.subject.mailbox)
    error = answer.renewal_error if isinstance(answer, AcquiredToken) else answer
    if error is not None and error.error not in _NOT_DELEGATED:
        raise NotReadableError(Obstacle.NO_TOKEN, f"the request for a token failed otherwise ({_said(error)})")
    fact = asked.fact(FactName.DELEGATED, TokenRequest(scope), value=error is None, item=scope)
    return (replace(fact, read_at=_answered_at(answer, error, asked.now)),)


def _said(error: TokenError) -> str:
    return error.error or error.kind


def _answered_at(answer: AcquiredToken | TokenError, error: TokenError | None, now: float) -> float:
    """Return when the issuer answered: before now, where it may not be asked again yet."""
    if error is not None:
        return error.at
    facts = answer.facts if isinstance(answer, AcquiredToken) else None
    return facts.acquired_at if facts is not None else now


DELEGATION = Question(
    "delegation",
    "whether the scope for mail is delegated to the service account",
    About.MAILBOX,
    Needs(Api.GOOGLE_TOKENS, (MAIL_SCOPE,)),
    _ask,
    (FactName.DELEGATED,),
    of=SERVICE_ACCOUNT,
)
