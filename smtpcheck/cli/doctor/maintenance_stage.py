"""Stage 12: what expires, what is going to be switched off, and what has changed since the last examination.

Rules of this file:
- What was seen is kept in one small file for each check under `doctor/` of the state folder, written to a temporary
  file first and then renamed. A folder that may not be written is no fault: it is said, and the rest goes on.
- A check that is made of options has no name that lasts: nothing of it is kept or compared.
- Dates of retirements are those of Microsoft's announcement for SMTP AUTH with Basic authentication of January 2026
  (https://techcommunity.microsoft.com/blog/exchange/4489835); they have been moved before.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from smtpcheck.cli.doctor.credential_stages import expiry_note, findings_about
from smtpcheck.cli.doctor.evidence import Evidence
from smtpcheck.cli.doctor.result import Examined, Note, Stage, examined, failed, hint, ok, warning
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Provider
from smtpcheck.model.timestamp import utc_text

_MAX_BYTES = 64 * 1024
_ENDINGS = (Cause.CERTIFICATE_EXPIRING, Cause.SECRET_EXPIRING, Cause.CLIENT_CERTIFICATE_EXPIRING)
_PASSWORDS = frozenset({"LOGIN", "PLAIN"})
_PERSONAL_HOST = "smtp-mail.outlook.com"

Snapshot = Mapping[str, object]
"""What is compared from one examination to the next: `ehlo`, `tls`, `certificate_issuer`; and `at`, `server`."""


def maintenance(evidence: Evidence, folder: Path | None) -> Examined:
    """Return stage 12, and keep what was seen in `folder` if there is one. Blocks on files."""
    notes = [*_expiries(evidence), *_retirements(evidence)]
    if folder is not None:
        notes += _drift(evidence, folder)
    return examined(Stage.MAINTENANCE, notes, findings_about(evidence, *_ENDINGS))


def _expiries(evidence: Evidence) -> Iterator[Note]:
    report, state, warn = evidence.report, evidence.state, evidence.check.warn
    certificate = report.tls.certificate if report and report.tls else None
    if certificate is not None:
        yield expiry_note("the server's certificate", certificate.not_after, warn.certificate, evidence.now)
    if state is not None and state.client_secret_expires_at is not None:
        yield expiry_note("the client secret", state.client_secret_expires_at, warn.secret, evidence.now)
    if state is not None and state.client_certificate_expires_at is not None:
        yield expiry_note("the client certificate", state.client_certificate_expires_at, warn.secret, evidence.now)


def _retirements(evidence: Evidence) -> Iterator[Note]:
    uses_password = evidence.credential is not None and evidence.credential.type == "password"
    if evidence.check.provider is Provider.HVE and uses_password:
        yield hint("High Volume Email takes passwords until September 2028; move this check to OAuth2 before")
    if evidence.check.provider is not Provider.MICROSOFT:
        return
    if not uses_password and not _PASSWORDS & set(evidence.mechanisms):
        return
    said = (
        "Microsoft has announced that SMTP AUTH with passwords (Basic authentication) will be off by default at the "
        "end of December 2026, and that the final removal date will be announced in the second half of 2027"
    )
    if uses_password and evidence.check.server.host.lower() == _PERSONAL_HOST:
        yield failed(
            "personal accounts of Microsoft have taken no passwords since September 2024: move this check to OAuth2"
        )
    elif uses_password:
        yield warning(f"{said}: this check logs in with a password, move it to OAuth2")
    else:
        yield hint(f"{said}; this check is not affected, but others that log in with a password here are")


# -- drift ------------------------------------------------------------------------------------------------------------


def _drift(evidence: Evidence, folder: Path) -> Iterator[Note]:
    seen = _snapshot(evidence)
    if seen is None:
        return
    path = folder / f"{evidence.check.name}.json"
    before = _load(path)
    if before is None or before.get("server") != seen["server"]:
        yield hint("no earlier examination to compare with")
    else:
        yield from _changes(before, seen)
    reason = _keep(path, seen)
    if reason:
        yield hint(f"results cannot be stored in {folder} for the next time: {reason}")


def _snapshot(evidence: Evidence) -> Snapshot | None:
    """Return what is to be compared; None where the connection did not come as far as EHLO."""
    if not evidence.ehlo or evidence.report is None:
        return None
    tls = evidence.report.tls
    return {
        "at": evidence.now,
        "server": f"{evidence.check.server.host}:{evidence.check.server.port}",
        "ehlo": sorted(line.upper() for line in evidence.ehlo),
        "tls": f"{tls.version} {tls.cipher}" if tls else "none",
        "certificate_issuer": tls.certificate.issuer if tls and tls.certificate else "",
    }


def _changes(before: Snapshot, seen: Snapshot) -> Iterator[Note]:
    at = before.get("at")
    since = f"since {utc_text(at)}" if isinstance(at, int | float) and 0 < at < 2**32 else "since the last time"
    old, new = (_lines(snapshot.get("ehlo")) for snapshot in (before, seen))
    changed = False
    for lines, verb in ((new - old, "has been added to"), (old - new, "has been removed from")):
        for line in sorted(lines):
            changed = True
            yield warning(f"{line} {verb} EHLO {since}")
    for key, what in (("tls", "TLS"), ("certificate_issuer", "the certificate's issuer")):
        if before.get(key) != seen[key]:
            changed = True
            yield warning(f"{what} was {before.get(key)} and is {seen[key]} {since}")
    if not changed:
        yield ok(f"EHLO, TLS and the certificate's issuer have not changed {since}")


def _lines(value: object) -> frozenset[str]:
    return frozenset(line for line in value if isinstance(line, str)) if isinstance(value, list) else frozenset()


def _load(path: Path) -> Snapshot | None:
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _keep(path: Path, seen: Snapshot) -> str:
    """Write what was seen; return why that did not work, else nothing."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(seen, file, indent=1)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        return (error.strerror or "refused").lower()
    return ""
