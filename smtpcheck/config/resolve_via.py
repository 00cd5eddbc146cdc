"""From `via:` as it was written to the mail API of a check.

Rules of this file:
- What the API needs and what it takes is its own to say (`mail_api`); here it is compared with what is written.
- A proof without a message is a failed request in somebody's log: such a check runs every five minutes at most.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from smtpcheck.config.api_files import ApiFiles
from smtpcheck.config.mailboxes import Entry
from smtpcheck.config.problems import Problems
from smtpcheck.config.providers import ACS_SCOPE
from smtpcheck.config.via import ViaSection
from smtpcheck.limits.api_concurrency import PROOF_SPACING
from smtpcheck.mail_api.api import MailApi
from smtpcheck.mail_api.apis import HTTP, api_described, api_named, api_of
from smtpcheck.mail_api.ses import INSTALL, NOT_INSTALLED, is_installed
from smtpcheck.model.check import Check, Depth, Expect, Phase, Provider, Via
from smtpcheck.oauth.api_key import ApiKey
from smtpcheck.oauth.aws import Aws
from smtpcheck.oauth.cloud_credential import CloudCredential
from smtpcheck.oauth.credential import Credential

_DEPTHS = frozenset({Depth.TOKEN, Depth.AUTH, Depth.SEND})
_OPTIONS = ("region", "domain", "template")
_PROVIDERS = {"graph": Provider.MICROSOFT, "gmail": Provider.GOOGLE, "acs": Provider.ACS}


def resolve_via(
    section: ViaSection, credential: Credential | None, entry: Entry, files: ApiFiles, problems: Problems
) -> Via | None:
    """Return the API of a check; report what it lacks and return None."""
    description = _description(section, entry, files, problems)
    if description is None:
        return None
    api = api_described(description) if description else api_named(section.api)
    region = section.region or (credential.region if isinstance(credential, Aws) else "")
    given = {name for name in _OPTIONS if getattr(section, name) is not None}
    for name in sorted(given - api.takes):
        problems.error(entry.at(("via", name)), f"has no effect: {api.name} has none", hint="remove it")
    for name in sorted(api.needs - given):
        problems.error(entry.at(("via", name)), f"is missing, and {api.name} needs one")
    base = section.base or _base_of(api, region, credential)
    if base is None and api.base_hint:
        problems.error(entry.at(("via", "base")), "is missing", hint=api.base_hint)
    elif base is None:
        problems.error(entry.at(("via", "region")), f"is not a region of {api.name}", value=section.region)
    if base is None or given - api.takes or api.needs - given:
        return None
    return Via(
        api=section.api,
        base=base,
        scope=section.scope or _scope_of(api, credential),
        as_user=credential is not None and getattr(credential, "tenant", "") == "consumers",
        region=region,
        domain=section.domain or "",
        template=section.template or "",
        description=description,
    )


def _description(section: ViaSection, entry: Entry, files: ApiFiles, problems: Problems) -> str | None:
    """Return the description of an API of the user's own, empty for one that is known; None where it has an error."""
    place = entry.at(("via", "file"))
    if section.api != HTTP:
        if section.file is not None:
            problems.error(place, f"has no effect: {section.api} is known", hint="write api: http, or remove it")
        return "" if section.file is None else None
    if section.file is None:
        problems.error(place, "is missing, and api: http needs one", hint="name the file that describes the API")
        return None
    return files.description(section.file) or None


def provider_of_api(via: Via) -> Provider:
    """Return whose API it is, for rules and for series by provider."""
    return _PROVIDERS.get(via.api, Provider.GENERIC)


def check_via(check: Check, credential: Credential | None, entry: Entry, problems: Problems) -> bool:
    """Report what cannot work about a check by an API; return whether it can be used."""
    if check.via is None:
        if check.expect is None or check.expect.phase is not Phase.REQUEST:
            return True
        hint = "write via: {api: ...}, or a phase of SMTP: auth, mail, rcpt or data"
        problems.error(entry.at(("expect", "phase")), "request is a phase of mail APIs", hint=hint)
        return False
    found = list(_mistakes(check, api_of(check.via), credential, entry))
    for key, message, hint in found:
        problems.error(entry.at(key), message, hint=hint)
    return not found


def depth_by_api(written: Depth | None, inherited: Depth, expect: Expect | None) -> Depth:
    """Return how far a check by an API goes: a depth of SMTP in `defaults` means the proof of the right."""
    if expect is not None and written is None:
        return expect.depth
    if written is not None:
        return written
    return inherited if inherited in _DEPTHS else Depth.AUTH


def side_by_side(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return the checks, those that go to one mailbox in several ways with the name of the first of them."""
    of_mailbox: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        if check.mailbox:
            of_mailbox[check.mailbox.casefold()].append(check)
    first = {
        mailbox: together[0].name
        for mailbox, together in of_mailbox.items()
        if len({check.way for check in together}) > 1
    }
    if not first:
        return tuple(checks)
    return tuple(replace(check, side_by_side=first.get(check.mailbox.casefold(), "")) for check in checks)


def _mistakes(
    check: Check, api: MailApi, credential: Credential | None, entry: Entry
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if credential is not None and credential.type not in api.credential_types:
        types = ", ".join(sorted(api.credential_types))
        yield ("credential",), f"is of type {credential.type}, which {api.name} does not take", f"use one of: {types}"
    if api.needs_secret and isinstance(credential, ApiKey) and credential.secret is None:
        yield ("credential",), f"has no secret, which {api.name} needs beside the key", "add secret: to the credential"
    if api.name == "ses" and not is_installed():
        yield ("via", "api"), NOT_INSTALLED, INSTALL
    if check.depth not in _DEPTHS:
        yield ("depth",), f"{check.depth} is a depth of SMTP", "by an API write token, auth or send"
    if check.depth is Depth.AUTH and not api.proves:
        hint = "write depth: send, with a recipient of your own"
        yield (
            ("depth",),
            f"cannot be reached: {api.unprovable or f'{api.name} has no proof that sends nothing'}",
            hint,
        )
    if check.expect is not None and check.expect.phase is not Phase.REQUEST:
        yield ("expect", "phase"), f"{check.expect.phase} is a phase of SMTP", "by an API write phase: request"
    if check.depth is Depth.AUTH and check.expect is None and check.interval < PROOF_SPACING:
        hint = "each proof is a failed request in the logs of the API: write interval: 5m or more"
        yield ("interval",), f"the right to send is proven every 5m at most, not every {check.interval:g}s", hint
    for key in ("mechanism", "server"):
        wrong = entry.raw.get(key)
        names = [each for each in wrong if each not in _SERVER_KEYS] if isinstance(wrong, dict) else []
        for path in [(key, name) for name in names] if key == "server" else [(key,)] if wrong is not None else []:
            yield path, "has no effect by an API", "remove it"


_SERVER_KEYS = frozenset({"ca_file", "ip_version", "min_tls"})


def _base_of(api: MailApi, region: str, credential: Credential | None) -> str | None:
    if api.name == "graph" and isinstance(credential, CloudCredential):
        return credential.graph_url
    return api.base_in(region)


def _scope_of(api: MailApi, credential: Credential | None) -> str:
    if api.name == "graph" and isinstance(credential, CloudCredential):
        return credential.graph_sending_scope
    if api.name == "acs" and credential is not None and credential.gives_tokens:
        return ACS_SCOPE
    return credential.scope if api.name == "gmail" and credential is not None else ""
