"""Mail APIs that take a key, each under its own path, and beside them the services of Amazon and Azure.

Rules of this file:
- Answers and refusals are those that the services document or their users quote; where an order is not documented, the
  key is looked at first.
- Nothing here is shared with the code that speaks to them.
- A message that is taken goes its way in the world's store, so that a finder finds it.
"""

import json
import secrets
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from email.message import EmailMessage
from typing import Any

from aiohttp import BasicAuth, web

from smtpcheck.sandbox.acs import AcsEmail, Claims
from smtpcheck.sandbox.api_account import ApiAccount, ApiMessage
from smtpcheck.sandbox.mail_store import FROM_THIRD_PARTY, MailStore
from smtpcheck.sandbox.ses import Ses

Handler = Callable[[web.Request, ApiAccount], Awaitable[web.Response]]
_MOST_OCTETS = 8 * 1024 * 1024
_SHUTDOWN_SECONDS = 0.1


class MailApis:
    """The services on 127.0.0.1.

    Attributes:
        ses: Amazon SES, with accounts of its own.
        acs: Azure Communication Services, one resource.
        accounts: by the API's name and the key; may be changed while it runs.
        messages: the last messages that were taken.
        asked: API, method and path of each request so far.
        port: where it listens, once it does.
    """

    def __init__(self, store: MailStore | None = None, claims: Claims = lambda _: None) -> None:
        """Deliver into `store`; `claims` reads the tokens of Entra."""
        self.store = store or MailStore()
        self.ses = Ses(self.store)
        self.acs = AcsEmail(self.store, claims)
        self.accounts: dict[str, dict[str, ApiAccount]] = {}
        self.messages: deque[ApiMessage] = deque(maxlen=1000)
        self.asked: deque[tuple[str, str, str]] = deque(maxlen=10_000)
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._idempotent: dict[str, str] = {}

    def add(self, api: str, account: ApiAccount) -> ApiAccount:
        """Open an account."""
        self.accounts.setdefault(api, {})[account.key] = account
        return account

    async def start(self, context: ssl.SSLContext) -> None:
        """Listen."""
        app = web.Application(client_max_size=_MOST_OCTETS)
        app.router.add_get("/sendgrid/v3/scopes", self._guarded("sendgrid", _bearer, self._sendgrid_scopes))
        app.router.add_post("/sendgrid/v3/mail/send", self._guarded("sendgrid", _bearer, self._sendgrid))
        app.router.add_post("/mailgun/v3/{domain}/messages", self._guarded("mailgun", _mailgun_key, self._mailgun))
        app.router.add_get("/postmark/server", self._guarded("postmark", _postmark_key, self._postmark_server))
        app.router.add_post("/postmark/email", self._guarded("postmark", _postmark_key, self._postmark))
        app.router.add_get("/resend/domains", self._guarded("resend", _bearer, self._resend_domains))
        app.router.add_post("/resend/emails", self._guarded("resend", _bearer, self._resend))
        app.router.add_get("/brevo/v3/account", self._guarded("brevo", _brevo_key, self._brevo_account))
        app.router.add_post("/brevo/v3/smtp/email", self._guarded("brevo", _brevo_key, self._brevo))
        app.router.add_post("/mailjet/v3.1/send", self._guarded("mailjet", _basic_user, self._mailjet))
        app.router.add_post("/aotsend/index/api/send_email", self._aotsend)
        self.ses.serve(app, "/ses")
        self.acs.serve(app, "/acs")
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    def base(self, api: str) -> str:
        """Return the address of an API."""
        return f"https://localhost:{self.port}/{api}"

    def _guarded(
        self, api: str, key_of: Callable[[web.Request], str], handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler behind the look at the key."""

        async def answer(request: web.Request) -> web.Response:
            self.asked.append((api, request.method, request.path))
            account = self.accounts.get(api, {}).get(key_of(request))
            if account is None:
                return _UNKNOWN_KEY[api]()
            if account.is_throttled():
                refusal = _THROTTLED[api]()
                refusal.headers["Retry-After"] = "1"
                return refusal
            return await handler(request, account)

        return answer

    def _take(self, api: str, account: ApiAccount, sender: str, recipient: str, parts: Mapping[str, str]) -> str:
        """Take a message and return its id; `parts` are subject, text and headers."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, recipient, parts.get("subject", "")
        unique = secrets.token_hex(12)
        headers = {name: value for name, value in parts.items() if name not in {"subject", "text"}}
        for name, value in headers.items():
            message[name] = value
        if "Message-ID" not in message:
            message["Message-ID"] = f"<{unique}@{api}.example>"
        message.set_content(parts.get("text", ""))
        content = message.as_bytes()
        account.credits -= 1
        self.messages.append(ApiMessage(api, sender, recipient, content))
        self.store.send(sender, [recipient], content, FROM_THIRD_PARTY)
        return unique

    # -- SendGrid -----------------------------------------------------------------------------------------------------

    async def _sendgrid_scopes(self, request: web.Request, account: ApiAccount) -> web.Response:
        del request
        return web.json_response({"scopes": [*(["mail.send"] if account.may_send else []), "user.profile.read"]})

    async def _sendgrid(self, request: web.Request, account: ApiAccount) -> web.Response:
        body = await _object(request)
        if not account.may_send:
            return _sendgrid_error(403, "access forbidden")
        if account.credits <= 0:
            return _sendgrid_error(401, "Maximum credits exceeded")
        sender, recipient = _text(body, "from", "email"), _text(body, "personalizations", 0, "to", 0, "email")
        if "@" not in recipient or not _text(body, "subject"):
            return _sendgrid_error(400, "The to array is required for all personalization objects.", "personalizations")
        if not account.verifies(sender):
            message = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error"
            return _sendgrid_error(403, f"{message} is resolved.", "from")
        if _at(body, "mail_settings", "sandbox_mode", "enable") is True and account.keeps_test_mode:
            return web.Response(status=200)
        parts = {"subject": _text(body, "subject"), "text": _text(body, "content", 0, "value"), **_headers(body)}
        unique = self._take("sendgrid", account, sender, recipient, parts)
        return web.Response(status=202, headers={"X-Message-Id": unique})

    # -- Mailgun ------------------------------------------------------------------------------------------------------

    async def _mailgun(self, request: web.Request, account: ApiAccount) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        domain = request.match_info["domain"]
        if domain not in account.verified:
            return web.json_response({"message": f"Domain not found: {domain}"}, status=404)
        for name in ("from", "to"):
            if name not in form:
                return web.json_response({"message": f"{name} parameter is missing"}, status=400)
        if account.in_sandbox:
            message = "Sandbox subdomains are for test purposes only. Please add your own domain or add the address to"
            return web.json_response({"message": f"{message} authorized recipients in Account Settings."}, status=403)
        headers = {name[2:]: value for name, value in form.items() if name.startswith("h:")}
        parts = {"subject": form.get("subject", ""), "text": form.get("text", ""), **headers}
        unique = self._take("mailgun", account, form["from"], form["to"], parts)
        return web.json_response({"id": f"<{unique}@{domain}>", "message": "Queued. Thank you."})

    # -- Postmark -----------------------------------------------------------------------------------------------------

    async def _postmark_server(self, request: web.Request, account: ApiAccount) -> web.Response:
        del request, account
        return web.json_response({"ID": 1, "Name": "contoso", "Color": "blue", "DeliveryType": "Live"})

    async def _postmark(self, request: web.Request, account: ApiAccount) -> web.Response:
        body = await _object(request)
        sender, recipient = _text(body, "From"), _text(body, "To")
        if "@" not in recipient:
            return _postmark_error(300, "Zero recipients specified")
        if account.blocked:
            return _postmark_error(413, "This account may not send.")
        if not account.verifies(sender):
            return _postmark_error(400, "The 'From' address you supplied is not a Sender Signature on your account.")
        if account.in_sandbox and not recipient.endswith(sender.partition("@")[2]):
            return _postmark_error(
                412, "While your account is pending approval, all recipient addresses must share it."
            )
        if account.credits <= 0:
            return _postmark_error(405, "Not allowed to send: run out of credits.")
        listed = body.get("Headers")
        headers = {_text(one, "Name"): _text(one, "Value") for one in listed} if isinstance(listed, list) else {}
        parts = {"subject": _text(body, "Subject"), "text": _text(body, "TextBody"), **headers}
        unique = self._take("postmark", account, sender, recipient, parts)
        return web.json_response({"To": recipient, "MessageID": unique, "ErrorCode": 0, "Message": "OK"})

    # -- Resend -------------------------------------------------------------------------------------------------------

    async def _resend_domains(self, request: web.Request, account: ApiAccount) -> web.Response:
        del request
        if not account.may_read:
            return _resend_error(401, "restricted_api_key", "This API key is restricted to only send emails")
        return web.json_response({"object": "list", "data": [{"name": name} for name in account.verified]})

    async def _resend(self, request: web.Request, account: ApiAccount) -> web.Response:
        body = await _object(request)
        sender, recipient = _text(body, "from"), _text(body, "to", 0)
        if "@" not in recipient:
            return _resend_error(422, "missing_required_field", "Missing `to` field.")
        if account.credits <= 0:
            return _resend_error(429, "daily_quota_exceeded", "You have reached your daily email sending quota.")
        if not account.verifies(sender):
            domain = sender.rpartition("@")[2]
            return _resend_error(403, "validation_error", f"The {domain} domain is not verified. Please, add it.")
        repeated = request.headers.get("Idempotency-Key", "")
        if repeated in self._idempotent:
            return web.json_response({"id": self._idempotent[repeated]})
        parts = {"subject": _text(body, "subject"), "text": _text(body, "text"), **_headers(body)}
        unique = self._take("resend", account, sender, recipient, parts)
        if repeated:
            self._idempotent[repeated] = unique
        return web.json_response({"id": unique})

    # -- Brevo --------------------------------------------------------------------------------------------------------

    async def _brevo_account(self, request: web.Request, account: ApiAccount) -> web.Response:
        del request
        if not account.knows_address:
            return _unknown_address()
        return web.json_response({"email": "owner@contoso.example", "plan": [{"credits": account.credits}]})

    async def _brevo(self, request: web.Request, account: ApiAccount) -> web.Response:
        if not account.knows_address:
            return _unknown_address()
        body = await _object(request)
        sender, recipient = _text(body, "sender", "email"), _text(body, "to", 0, "email")
        if "@" not in recipient:
            return web.json_response({"code": "missing_parameter", "message": "to is missing"}, status=400)
        if account.credits <= 0:
            message = {"code": "not_enough_credits", "message": "You do not have enough credits"}
            return web.json_response(message, status=402)
        if not account.verifies(sender):
            message = {"code": "invalid_parameter", "message": "sender is invalid"}
            return web.json_response(message, status=400)
        parts = {"subject": _text(body, "subject"), "text": _text(body, "textContent"), **_headers(body)}
        unique = self._take("brevo", account, sender, recipient, parts)
        return web.json_response({"messageId": f"<{unique}@smtp-relay.mailin.fr>"}, status=201)

    # -- Mailjet ------------------------------------------------------------------------------------------------------

    async def _mailjet(self, request: web.Request, account: ApiAccount) -> web.Response:
        if _basic(request)[1] != account.secret:
            return _mailjet_refusal()
        body = await _object(request)
        sender, recipient = _text(body, "Messages", 0, "From", "Email"), _text(body, "Messages", 0, "To", 0, "Email")
        if not account.verifies(sender):
            message = f'"{sender}" is not an authorized sender email address for your account.'
            error = {"ErrorCode": "send-0008", "StatusCode": 403, "ErrorMessage": message, "ErrorRelatedTo": ["From"]}
            return web.json_response({"Messages": [{"Status": "error", "Errors": [error]}]}, status=400)
        if body.get("SandboxMode") is True and account.keeps_test_mode:
            return web.json_response({"Messages": [{"Status": "success", "To": []}]})
        inner = _at(body, "Messages", 0, "Headers")
        parts = {
            "subject": _text(body, "Messages", 0, "Subject"),
            "text": _text(body, "Messages", 0, "TextPart"),
            **({str(name): str(value) for name, value in inner.items()} if isinstance(inner, dict) else {}),
        }
        unique = self._take("mailjet", account, sender, recipient, parts)
        to = {"Email": recipient, "MessageID": int(unique[:12], 16)}
        return web.json_response({"Messages": [{"Status": "success", "To": [to]}]})

    # -- AOTsend ------------------------------------------------------------------------------------------------------

    async def _aotsend(self, request: web.Request) -> web.Response:
        """Answer with a code in the body, under 200 whatever it is."""
        self.asked.append(("aotsend", request.method, request.path))
        form = {name: str(value) for name, value in (await request.post()).items()}
        account = self.accounts.get("aotsend", {}).get(form.get("app_key", ""))
        if not form.get("app_key"):
            return _coded(40001, "API key cannot be empty")
        if account is None:
            return _coded(40002, "Authentication failed")
        if not form.get("template_id"):
            return _coded(40003, "Template ID incorrect")
        if "@" not in form.get("to", ""):
            return _coded(40005 if form.get("to") else 40004, "The recipient's address cannot be empty")
        if account.credits <= 0:
            return _coded(40007, "Insufficient balance")
        self._take("aotsend", account, "template@aotsend.example", form["to"], {"subject": form["template_id"]})
        return _coded(200, "Request successful")


# -- keys -------------------------------------------------------------------------------------------------------------


def _bearer(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _postmark_key(request: web.Request) -> str:
    return request.headers.get("X-Postmark-Server-Token", "")


def _brevo_key(request: web.Request) -> str:
    return request.headers.get("api-key", "")


def _basic(request: web.Request) -> tuple[str, str]:
    try:
        found = BasicAuth.decode(request.headers.get("Authorization", ""))
    except ValueError:
        return "", ""
    return found.login, found.password


def _basic_user(request: web.Request) -> str:
    return _basic(request)[0]


def _mailgun_key(request: web.Request) -> str:
    user, password = _basic(request)
    return password if user == "api" else ""


# -- answers ----------------------------------------------------------------------------------------------------------


def _sendgrid_error(status: int, message: str, field: str | None = None) -> web.Response:
    return web.json_response({"errors": [{"message": message, "field": field, "help": None}]}, status=status)


def _postmark_error(code: int, message: str) -> web.Response:
    status = {10: 401, 429: 429}.get(code, 422)
    return web.json_response({"ErrorCode": code, "Message": message}, status=status)


def _resend_error(status: int, name: str, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "name": name, "message": message}, status=status)


def _unknown_address() -> web.Response:
    message = "We have detected you are using an unrecognised IP address 192.0.2.1. Add it to the authorised IPs."
    return web.json_response({"code": "unauthorized", "message": message}, status=401)


def _mailjet_refusal() -> web.Response:
    message = "API key authentication/authorization failure. You may be unauthorized to access the API."
    return web.json_response({"ErrorIdentifier": "1", "StatusCode": 401, "ErrorMessage": message}, status=401)


def _coded(code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message})


_UNKNOWN_KEY: Mapping[str, Callable[[], web.Response]] = {
    "sendgrid": lambda: _sendgrid_error(401, "The provided authorization grant is invalid, expired, or revoked"),
    "mailgun": lambda: web.Response(status=401, text="Forbidden"),
    "postmark": lambda: _postmark_error(10, "Bad or missing Server API token."),
    "resend": lambda: _resend_error(403, "invalid_api_key", "API key is invalid"),
    "brevo": lambda: web.json_response({"code": "unauthorized", "message": "Key not found"}, status=401),
    "mailjet": _mailjet_refusal,
}
_THROTTLED: Mapping[str, Callable[[], web.Response]] = {
    "sendgrid": lambda: _sendgrid_error(429, "too many requests"),
    "mailgun": lambda: web.json_response({"message": "Too Many Requests"}, status=429),
    "postmark": lambda: _postmark_error(429, "Rate limit exceeded"),
    "resend": lambda: _resend_error(429, "rate_limit_exceeded", "Too many requests. You can only make 2 a second."),
    "brevo": lambda: web.json_response({"code": "too_many_requests", "message": "Too many requests"}, status=429),
    "mailjet": lambda: web.json_response({"ErrorMessage": "Too many requests", "StatusCode": 429}, status=429),
}


# -- bodies -----------------------------------------------------------------------------------------------------------


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.read())
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _at(value: Any, *path: str | int) -> Any:
    for name in path:
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _text(value: Any, *path: str | int) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""


def _headers(body: Mapping[str, Any]) -> dict[str, str]:
    headers = body.get("headers")
    return {str(name): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
