"""The scenarios of mail APIs.

Rule of this file: a scenario is one row; the API's twin answers as its provider documents.
"""

from collections.abc import Mapping

from smtpcheck.model.cause import Cause
from smtpcheck.sandbox.graph_send import SendingMailbox
from smtpcheck.sandbox.scenario import DOMAIN, GMAIL, RECIPIENT, CredentialKind, Registration, Scenario

_GMAIL_READS = "https://www.googleapis.com/auth/gmail.readonly"
_GRAPH: Mapping[str, object] = {"via": {"api": "graph"}}
_SEND: Mapping[str, object] = {"depth": "send", "recipient": RECIPIENT, "interval": "15m"}

API_SCENARIOS: tuple[Scenario, ...] = (
    Scenario("graph-healthy", "The right to send by Microsoft Graph is proven, and nothing is sent.", check=_GRAPH),
    Scenario(
        "graph-healthy-by-smtp",
        "The same mailbox by SMTP: the page and a board show both ways side by side.",
        check={"mailbox": f"graph-healthy@{DOMAIN}"},
    ),
    Scenario(
        "graph-send",
        "A whole message is accepted by Microsoft Graph.",
        check={**_GRAPH, **_SEND},
    ),
    Scenario(
        "graph-consent-missing",
        "The token for Graph holds no permission: nobody has consented to Mail.Send.",
        Cause.GRAPH_PERMISSION_MISSING,
        check=_GRAPH,
        registration=Registration("contoso-no-consent", graph_roles=()),
    ),
    Scenario(
        "graph-token-old",
        "An administrator has consented a minute ago, and the token is ten minutes old.",
        Cause.TOKEN_OLDER_THAN_CONSENT,
        check=_GRAPH,
        registration=Registration("contoso-late-consent", graph_roles=(), token_age=600.0),
    ),
    Scenario(
        "graph-mailbox-excluded",
        "The application may send by Graph, but its scope leaves this mailbox out.",
        Cause.EXCHANGE_APP_ACCESS_POLICY,
        check=_GRAPH,
        graph=SendingMailbox(excluded=True),
    ),
    Scenario(
        "graph-throttled",
        "Others use up the requests that Graph serves for this mailbox.",
        Cause.GRAPH_THROTTLED,
        check=_GRAPH,
        graph=SendingMailbox(throttled=1_000_000),
    ),
    Scenario(
        "gmail-healthy",
        "The right to send by the Gmail API is proven, and nothing is sent.",
        check={"via": {"api": "gmail"}},
        server=GMAIL,
        registration=Registration("workspace", CredentialKind.GOOGLE_ACCOUNT),
    ),
    Scenario(
        "gmail-scope-insufficient",
        "The token is for reading mail, which does not include sending.",
        Cause.WRONG_SCOPE_GOOGLE,
        check={"via": {"api": "gmail", "scope": _GMAIL_READS}},
        server=GMAIL,
        registration=Registration("workspace-reader", CredentialKind.GOOGLE_ACCOUNT, scopes=(_GMAIL_READS,)),
    ),
    Scenario(
        "ses-sandbox",
        "The account at Amazon SES may send, but only to recipients that are verified.",
        warnings=frozenset({Cause.API_ACCOUNT_IN_SANDBOX}),
        check={"via": {"api": "ses"}},
        registration=Registration("ses-new", CredentialKind.AWS, api="ses", account={"production": False}),
    ),
    Scenario(
        "sendgrid-key-restricted",
        "The key of SendGrid is good, but has no right to send.",
        Cause.API_KEY_NOT_PERMITTED,
        check={"via": {"api": "sendgrid"}},
        registration=Registration("sendgrid", CredentialKind.API_KEY, api="sendgrid", account={"may_send": False}),
    ),
    Scenario(
        "aotsend-no-balance",
        "AOTsend answers 200, and its body says that the balance is empty.",
        Cause.QUOTA_EXHAUSTED,
        check={"via": {"api": "aotsend", "template": "E_100"}, **_SEND},
        registration=Registration("aotsend", CredentialKind.API_KEY, api="aotsend", account={"credits": 0}),
    ),
)
"""The worlds of `smtpcheck demo` in which mail goes by an API."""
