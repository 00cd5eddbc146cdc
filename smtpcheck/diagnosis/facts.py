"""What an observation shows beyond its text: facts that rules ask for by name, each with the sentence that shows it.

Rules of this file:
- A fact is what can be seen, not what it means: the catalogue says which cause it speaks for or against.
- Claims are read unverified, as hints, and audience before permission: SMTP.Send in a token for Graph helps nothing.
- The sentences are what a reader sees; a value in them is masked and bounded.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from smtpcheck.diagnosis.mail_reading import BOUNCE_FACTS, HEADER_FACTS
from smtpcheck.diagnosis.masking import mask
from smtpcheck.diagnosis.observation import Observation
from smtpcheck.diagnosis.reading import assertion_gaps, server_time
from smtpcheck.diagnosis.screening import Expression
from smtpcheck.model.timestamp import span_text

GRANT_TAKES = 7200
"""Seconds that Exchange Online takes at most until a right holds everywhere."""

FACTS = frozenset(
    {"audience_other", "audience_right", "id_token", "roles_missing", "permission_missing", "permission_right"}
    | {
        "app_only",
        "delegated",
        "personal",
        "personal_address",
        "expired",
        "still_valid",
        "not_yet_valid",
        "token_opaque",
    }
    | {
        "user_differs",
        "user_same",
        "role_address",
        "administrator",
        "user_no_address",
        "service_account_user",
    }
    | {
        "scope_graph",
        "scope_right",
        "scope_two_resources",
        "scope_without_gmail",
        "scope_gmail",
        "scope_bare",
        "scope_names_smtp",
        "scope_lacks_smtp",
    }
    | {
        "api_message",
        "scope_delegated_for_app",
        "sasl_fault",
        "mechanism_missing",
        "starttls_missing",
        "auth_offered",
        "mx_host",
    }
    | {"line_over_512", "line_over_12288", "clock_off", "granted_lately", "granted_long_ago"}
    | {"certificate_foreign", "only_ipv6_failed", "no_ipv4_route", "ipv4_failed", "port_465"}
    | {"graph_send_right", "graph_send_missing", "graph_no_roles", "token_before_grant"}
    | {"login_skipped", "no_token_sign", "assertion_hours_off", "assertion_reused", "assertion_early"}
    | {
        "mail_port",
        "odd_port",
        "status_400",
        "status_401",
        "young_refresh_token",
        "week_old_refresh_token",
        "typ_at_jwt",
    }
    | BOUNCE_FACTS
    | HEADER_FACTS
)
"""The names of all facts."""

_EXCHANGE = re.compile(
    r"https://(?:outlook\.office(?:365)?\.com|ps\.outlook\.com|outlook\.office365\.us|outlook-dod\.office365\.us|partner\.outlook\.cn)/?"
    r"|(?:api://|spn:)?00000002-0000-0ff1-ce00-000000000000"
)
_GRAPH = re.compile(
    r"https://(?:dod-)?(?:graph\.microsoft\.(?:com|us)|microsoftgraph\.chinacloudapi\.cn)/?|00000003-0000-0000-c000-000000000000"
)
_GRAPH_SEND = frozenset({"mail.send", "mail.send.shared"})
_COMMUNICATION = re.compile(r"https://communication\.azure\.com/?")
_RIGHTS = {"hve": frozenset({"mail.send"})}
"""What a token must grant to send, in small letters, where it is not what Exchange Online asks for."""
_SMTP_RIGHTS = frozenset({"smtp.send", "smtp.sendasapp"})
_CLOUD = {"office365.us": "office365.us", "outlook.cn": "outlook.cn"}
_CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
_CONSUMER_DOMAINS = re.compile(r"(?i).{1,64}@(?:outlook|hotmail|live|msn|passport|gmail|googlemail)\.[a-z.]{2,6}")
_ROLE_NAMES = re.compile(
    r"(?i)(?:shared|team|group|office|billing|invoices?|orders?|service|helpdesk|notifications?|alerts?|no-?reply|do-?not-?reply"
    r"|info|marketing|sales|support|abuse|noc|security|postmaster|hostmaster|webmaster|contact|jobs|hr)\b.{0,64}"
)
"""Mailboxes that are named for a role (RFC 2142), as shared mailboxes mostly are."""
_ADMINISTRATOR = re.compile(
    r"(?i)(?:.{0,40}[._-])?(?:global)?adm(?:in(?:istrator)?)?(?:[._-].{0,40})?@.{1,190}|.{1,64}@[^.]{1,64}\.onmicrosoft\.com"
)
_OPENID = {"openid", "profile", "email", "offline_access", "address", "phone"}
_GRAPH_SCOPE = re.compile(
    r"(?:https://graph\.microsoft\.(?:com|us)/.{0,80}|(?:user|mail|directory|calendars|contacts|mailboxsettings|files)\.[\w.]{3,60})"
)
_EXCHANGE_SCOPE = re.compile(
    r"https://(?:outlook\.office(?:365)?\.com|outlook(?:-dod)?\.office365\.us|partner\.outlook\.cn)/.{0,80}"
)
_BIG = re.compile(
    r"(?:^|\.)(?:office365\.(?:com|us)|outlook\.(?:com|cn)|gmail\.com|google(?:mail)?\.com|yahoo\.com|aol\.com|office\.com)$"
)
_PUBLIC_ISSUERS = re.compile(
    r"(?i)digicert|google trust|globalsign|microsoft|sectigo|entrust|let's encrypt|internet security research|amazon"
    r"|geotrust|baltimore"
)
_NETWORK = frozenset({"unreachable", "timeout", "reset", "closed", "os"})
_IPV6 = re.compile(
    r"(?<![\w:.-])(?:(?:[0-9a-f]{1,4}:){3,7}[0-9a-f:]{1,5}|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6}::[0-9a-f:]{0,30})"
)
_IPV4_FAILED = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])[^\n]{0,80}?(?:time|refused|expired|unreachable|failed)"
    r"|timed out|timeout:|time-?out\b(?! -1)|expired"
)
_IPV4_NO_ROUTE = Expression.of(
    r"(?:unreach(?:able)?|no route to host)[^\n\w]{0,4}(?:[^\n:]{0,40}[ \[(])?\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"
    r"|(?<![\w.:])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])[^\n]{0,60}(?:unreachable|no route to host)"
)
_HOUR = 3600
_ASSERTION_LIFE = 600
"""Seconds that an assertion is valid for at most, as the usual libraries make it."""
_NO_ROUTE = (
    *("unreachable", "ehostunreach", "enetunreach"),
    *("cannot assign requested address", "eaddrnotavail", "no route to host"),
)


def facts(seen: Observation) -> dict[str, str]:
    """Return the facts that the observation shows, each with the sentence that shows it."""
    now = seen.now if seen.now is not None else server_time(f"{' '.join(seen.replies)} {seen.exception[:8192]}")
    return dict(
        (
            *_token_facts(seen, now),
            *_user_facts(seen),
            *_scope_facts(seen),
            *_session_facts(seen),
            *_clock_facts(seen, now),
            *_certificate_facts(seen),
            *_network_facts(seen),
            *seen.message_facts.items(),
        )
    )


def app_only(claims: Mapping[str, object]) -> bool:
    """Return whether the token is an application's own."""
    return claims.get("idtyp") == "app" or ("appid" in claims and not claims.keys() & {"scp", "upn", "unique_name"})


def _token_facts(seen: Observation, now: float | None) -> Iterator[tuple[str, str]]:
    claims = seen.claims
    audiences = [name.lower() for name in _words(claims.get("aud"))]
    if audiences and _provider(seen) == "acs":
        yield from _communication_facts(audiences)
    elif audiences and seen.provider != "google":
        yield from _audience_facts(seen, audiences)
    if any(_GRAPH.fullmatch(name) for name in audiences):
        yield from _graph_facts(claims)
    issued = _number(claims.get("iat"))
    if seen.granted_at is not None and issued is not None and issued < seen.granted_at:
        yield "token_before_grant", f"the token was issued {span_text(seen.granted_at - issued)} before the grant (iat)"
    if app_only(claims):
        yield "app_only", "the token is an application's own (no user, no scp)"
    elif claims.keys() & {"scp", "upn", "unique_name"}:
        yield "delegated", "the token is a user's (it has scp or a user name)"
    if claims.get("tid") == _CONSUMERS:
        yield "personal", "the token's tenant (tid) is that of personal Microsoft accounts"
    elif seen.token_form == "opaque" and not claims and seen.provider in {"", "microsoft"}:
        yield "token_opaque", "the token is not a JWT, like those of personal Microsoft accounts"
    if claims.get("header_typ") == "at+jwt":
        yield "typ_at_jwt", "the token's header says at+jwt (RFC 9068), which Dovecot 2.3 refuses"
    expiry, begin = _number(claims.get("exp")), _number(claims.get("nbf"))
    expiry = expiry if expiry is not None else seen.token_expires_at
    if now is not None and expiry is not None:
        if expiry < now:
            yield "expired", f"the token expired {span_text(now - expiry)} before the login (exp)"
        else:
            yield "still_valid", f"the token is valid for another {span_text(expiry - now)}"
    if now is not None and begin is not None and begin > now + 60:
        yield (
            "not_yet_valid",
            f"the token becomes valid only {span_text(begin - now)} after the login (nbf): a clock is wrong",
        )


def _provider(seen: Observation) -> str:
    """Return the provider, by its host where a check does not say it."""
    host = seen.host.lower()
    if host in {"smtp.hve.mx.microsoft", "smtp-hve.office365.com"}:
        return "hve"
    return "acs" if host.endswith(".azurecomm.net") else seen.provider


def _communication_facts(audiences: list[str]) -> Iterator[tuple[str, str]]:
    shown = mask(" ".join(audiences))[:120]
    if any(_COMMUNICATION.fullmatch(name) for name in audiences):
        yield "audience_right", f"the token is for Azure Communication Services (aud {shown})"
    else:
        yield "audience_other", f"the token is for {shown}, not for Azure Communication Services (aud)"


def _audience_facts(seen: Observation, audiences: list[str]) -> Iterator[tuple[str, str]]:
    claims, shown = seen.claims, mask(" ".join(audiences))[:120]
    application = str(claims.get("azp") or claims.get("appid") or (seen.hints.client_id if seen.hints else "")).lower()
    if not any(_EXCHANGE.fullmatch(name) for name in audiences):
        if "nonce" in claims or (application and application in audiences):
            yield "id_token", "the token is addressed to the application itself: an id token, or one for its own API"
        what = f"Microsoft Graph ({shown})" if any(_GRAPH.fullmatch(name) for name in audiences) else shown
        yield "audience_other", f"the token is for {what}, not for Exchange Online (aud)"
        return
    for domain in _CLOUD:
        if seen.host and any(domain in name for name in audiences) != (domain in seen.host):
            yield "audience_other", f"the token is for {shown}, another cloud than that of {seen.host} (aud)"
            return
    yield "audience_right", f"the token is for Exchange Online (aud {shown})"
    roles, scopes = _words(claims.get("roles")), _words(claims.get("scp"))
    granted = [name.lower() for name in (*roles, *scopes)]
    if not _RIGHTS.get(_provider(seen), _SMTP_RIGHTS).isdisjoint(granted):
        yield (
            "permission_right",
            f"the token permits SMTP ({'roles' if roles else 'scp'} {mask(' '.join((*roles, *scopes)))[:120]})",
        )
    elif granted:
        name = "roles" if app_only(claims) else "scp"
        yield (
            "permission_missing",
            f"the token permits only {mask(' '.join((*roles, *scopes)))[:120]} ({name}), not SMTP",
        )
    elif app_only(claims):
        yield (
            "roles_missing",
            "the application's token has no roles claim; only Exchange's RBAC for applications needs none",
        )
    elif claims.keys() & {"upn", "unique_name", "scp"}:
        yield "permission_missing", "the token has no scp claim that permits SMTP"


def _graph_facts(claims: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield whether a token for Microsoft Graph permits sending; an application's without roles is legal (RBAC)."""
    name = "roles" if app_only(claims) else "scp"
    granted = _words(claims.get(name))
    shown = mask(" ".join(granted))[:120]
    if any(right.lower() in _GRAPH_SEND for right in granted):
        yield "graph_send_right", f"the token permits sending by Microsoft Graph ({name} {shown})"
    elif granted:
        yield "graph_send_missing", f"the token for Microsoft Graph permits only {shown} ({name}), not Mail.Send"
    elif app_only(claims):
        yield "graph_no_roles", "the application's token for Graph has no roles; only Exchange's RBAC needs none"


def _user_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    claims, user = seen.claims, seen.sasl_user.lower()
    names = [
        str(claims[key]).lower() for key in ("upn", "preferred_username", "unique_name", "email") if claims.get(key)
    ]
    if user.endswith(".gserviceaccount.com"):
        yield "service_account_user", "the SASL user is a service account's address instead of the mailbox"
    elif user and "@" not in user:
        yield "user_no_address", "the SASL user is not a mail address"
    if user and _CONSUMER_DOMAINS.fullmatch(user):
        yield "personal_address", f"{_shown(user)} is the address of a personal account"
    if names and user and user in names:
        yield "user_same", f"the token belongs to {_shown(user)}, the SASL user"
    elif names and user:
        yield "user_differs", f"the token belongs to {_shown(names[0])}, but {_shown(user)} logs in"
        if _ADMINISTRATOR.fullmatch(names[0]):
            yield "administrator", f"{_shown(names[0])} is named like an administrator"
    if (user and _ROLE_NAMES.match(user)) or "\\" in user:
        yield "role_address", f"{_shown(user)} is named like a shared mailbox"


def _scope_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    scopes = seen.scope.lower().split()
    known = [scope for scope in scopes if scope not in _OPENID]
    graph = [scope for scope in known if _GRAPH_SCOPE.fullmatch(scope)]
    exchange = [scope for scope in known if _EXCHANGE_SCOPE.fullmatch(scope)]
    if scopes and not known:
        yield "scope_bare", f"only {' '.join(scopes)[:80]} was requested, nothing for mail"
    if graph:
        yield "scope_graph", f"a scope of Microsoft Graph was requested ({mask(graph[0])[:80]})"
    if graph and exchange:
        yield "scope_two_resources", "scopes of two resources were requested at once, and a token is for one"
    if (
        exchange
        and not graph
        and any(scope.endswith(("/.default", "/smtp.send", "/smtp.sendasapp")) for scope in exchange)
    ):
        yield "scope_right", f"the right scope was requested ({mask(exchange[0])[:80]})"
    if exchange and not graph and any(scope.endswith("/smtp.send") for scope in exchange):
        yield "scope_names_smtp", "SMTP.Send was requested"
    if exchange and not any(scope.endswith(("/.default", "/smtp.send", "/smtp.sendasapp")) for scope in exchange):
        yield "scope_lacks_smtp", f"{mask(exchange[0])[:80]} was requested, but not SMTP.Send"
    if exchange and seen.flow == "client_credentials" and not any(scope.endswith("/.default") for scope in exchange):
        yield "scope_delegated_for_app", "a delegated scope was requested with client credentials, which need /.default"
    if any(scope.startswith("https://mail.google.com") for scope in known):
        yield "scope_gmail", "https://mail.google.com/ was requested"
    elif known:
        yield "scope_without_gmail", f"{mask(known[0])[:80]} was requested, not https://mail.google.com/"


def _session_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    if seen.is_api_message:
        yield "api_message", "the request held the whole message"
    if seen.skips_login:
        yield "login_skipped", "the server offered AUTH, and the client sent mail without it"
    if not seen.token_sign and not seen.flow:
        yield "no_token_sign", "nothing in the text speaks of a token"
    if seen.sasl_fault:
        yield "sasl_fault", seen.sasl_fault
    lines = [line.upper().removeprefix("250-").removeprefix("250 ").replace("=", " ").split() for line in seen.ehlo]
    auth = [word for words in lines if words[:1] == ["AUTH"] for word in words[1:]]
    if auth:
        yield "auth_offered", f"EHLO offers AUTH {' '.join(auth[:8])}"
    upgradable = any(words[:1] == ["STARTTLS"] for words in lines)
    if seen.ehlo and not upgradable and seen.phase in {"ehlo", "starttls"}:
        yield "starttls_missing", "EHLO does not offer STARTTLS"
    if (
        seen.ehlo
        and not {"XOAUTH2", "OAUTHBEARER"} & set(auth)
        and (auth or not upgradable)
        and seen.phase in {"", "auth", "ehlo_tls"}
    ):
        said = f"only {' '.join(auth[:8])}" if auth else "no AUTH at all"
        yield "mechanism_missing", f"EHLO offers {said}: neither XOAUTH2 nor OAUTHBEARER"
    if "mail.protection.outlook.com" in f"{seen.host} {seen.exception[:4096]}".lower():
        yield "mx_host", "the host receives mail for a domain (MX); submission has another host"
    if seen.auth_line_length > 12288:
        yield "line_over_12288", f"the AUTH line has {seen.auth_line_length} octets; RFC 4954 allows 12288"
    elif seen.auth_line_length > 512:
        yield "line_over_512", f"the AUTH line has {seen.auth_line_length} octets; RFC 5321 guarantees only 512"
    status = re.search(r"\"status\" ?: ?\"?(40[01])", seen.challenge)
    if status:
        yield f"status_{status[1]}", f"the server's challenge says status {status[1]}"


def _clock_facts(seen: Observation, now: float | None) -> Iterator[tuple[str, str]]:
    if gaps := assertion_gaps(f"{seen.description} {seen.exception[:8192]}"):
        yield from _assertion_facts(*gaps)
    if seen.clock_offset is not None and abs(seen.clock_offset) > 120:
        yield (
            "clock_off",
            f"the issuer's clock is {span_text(abs(seen.clock_offset))} {_side(seen.clock_offset)} ours",
        )
    if seen.granted_at is not None and now is not None and now >= seen.granted_at:
        since = now - seen.granted_at
        name = "granted_lately" if since < GRANT_TAKES else "granted_long_ago"
        yield name, f"a permission was granted {span_text(since)} before the login"
    if seen.refresh_token_age is not None:
        days = seen.refresh_token_age / 86400
        name = "week_old_refresh_token" if 6.5 <= days <= 8 else "young_refresh_token" if days < 6.5 else ""
        if name:
            yield name, f"the sign-in behind the refresh token is {span_text(seen.refresh_token_age)} old"


def _assertion_facts(after_begin: float, after_end: float) -> Iterator[tuple[str, str]]:
    """Yield what the gaps mean: a whole number of hours is a time zone, minutes before the begin are a clock."""
    hours = round(after_begin / _HOUR)
    if hours and abs(after_begin - hours * _HOUR) <= _ASSERTION_LIFE / 2:
        side = "after" if hours > 0 else "before"
        yield (
            "assertion_hours_off",
            f"the assertion was used about {abs(hours)} h {side} its begin: times look written in a local time zone",
        )
    elif after_begin < 0:
        yield "assertion_early", f"the assertion becomes valid only {span_text(-after_begin)} after it was used"
    elif after_end > _ASSERTION_LIFE:
        yield "assertion_reused", f"the assertion was used {span_text(after_end)} after its end"


def _certificate_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    certificate = seen.tls.certificate if seen.tls else None
    if certificate is None or certificate.verified:
        return
    if _BIG.search(seen.host.lower()) and (certificate.self_signed or not _PUBLIC_ISSUERS.search(certificate.issuer)):
        yield (
            "certificate_foreign",
            f"{seen.host} shows a certificate signed by {mask(certificate.issuer)[:120]}, not a public CA",
        )


def _network_facts(seen: Observation) -> Iterator[tuple[str, str]]:
    if seen.port == 465:
        yield "port_465", "port 465 was used"
    if (seen.security, seen.port) in {("implicit", 587), ("implicit", 25), ("starttls", 465)}:
        yield "odd_port", f"{seen.security} TLS was used on port {seen.port}"
    if seen.phase not in {"", "connect"}:
        return
    if seen.attempts and any(attempt.fault is None for attempt in seen.attempts):
        return
    if seen.fault == "refused":  # an answer: neither family nor port is blocked on the way
        return
    families = {attempt.family for attempt in seen.attempts}
    text = seen.exception[:16384].lower()
    if families == {6}:
        yield "only_ipv6_failed", "only IPv6 addresses were tried, and all failed"
    elif 4 in families:
        yield "ipv4_failed", "IPv4 addresses were tried too, and failed"
        if families == {4} and all(attempt.fault and attempt.fault.kind == "unreachable" for attempt in seen.attempts):
            yield "no_ipv4_route", "only IPv4 addresses were tried, and there is no route to them"
        if seen.fault in _NETWORK and seen.port in {25, 465, 587, 2525}:
            yield "mail_port", f"connecting to port {seen.port} failed for every address"
    elif any(word in text for word in _NO_ROUTE) and _IPV6.search(text):
        if _IPV4_FAILED.search(text):
            yield "ipv4_failed", "an IPv4 address failed too"
        else:
            yield "only_ipv6_failed", "an IPv6 address was tried, for which there is no route"
    elif _IPV4_NO_ROUTE.search(text):
        yield "no_ipv4_route", "there is no route to the IPv4 address that was tried"


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, Iterable) else ()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def _shown(address: str) -> str:
    return mask(address)[:120]


def _side(offset: float) -> str:
    return "ahead of" if offset > 0 else "behind"
