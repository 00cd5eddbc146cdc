"""`smtpcheck login`: a user logs in once, and smtpcheck keeps the refresh token.

Rules of this file:
- Nothing is kept before it is known to be right: whose mailbox it is, and that the check's server takes the token.
- The token itself is shown nowhere, and what the issuer says without its control characters.
- Nobody is asked to log in for a token that could not be kept.
"""

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.options import NOT_USABLE, ConfigFiles, complete_credential, files_of, no_such, settings_or_exit
from smtpcheck.cli.run import run_loop
from smtpcheck.log import LogLevel, configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from smtpcheck.config import Loaded, Settings
    from smtpcheck.model.check import Check
    from smtpcheck.model.report import Report, TokenError
    from smtpcheck.oauth.answer import TokenResponse
    from smtpcheck.oauth.token_store import Login, TokenFile
    from smtpcheck.oauth.user_credential import Invitation, UserCredential
    from smtpcheck.secrets.secret import Secret

DONE, UNSURE, REFUSED = 0, 1, 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="login")(login)


def login(
    name: Annotated[
        str,
        typer.Argument(
            metavar="CREDENTIAL", help="A credential that acts for a user.", autocompletion=complete_credential
        ),
    ],
    config_file: ConfigFiles = None,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            show_default=False,
            help="The port of the redirect to 127.0.0.1. [default: a free one]",
        ),
    ] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Store the login although it seems to be the wrong one.")
    ] = False,
) -> int:
    """Sign in for a credential and store its refresh token.

    The login is checked first.

    Exit codes: 0 stored, 1 stored but not tested at the server, 2 refused, 3 invalid configuration.
    """
    from smtpcheck.oauth.token_store import LoginUnusableError, TokenStore

    configure(LogLevel.ERROR)
    settings = settings_or_exit(_load(config_file), NOT_USABLE)
    credential = _credential(settings, name)
    file = TokenStore(settings.agent.state / "tokens", key=settings.agent.token_key).file(name)
    try:
        file.prepare()
    except LoginUnusableError as error:
        return _refused(f"The login could not be stored: {error}")
    return run_loop(_login(settings, credential, file, port=port, force=force))


def _load(config_file: list[Path] | None) -> "Loaded":
    from smtpcheck.config import load

    return load(files_of(config_file))


def _credential(settings: "Settings", name: str) -> "UserCredential":
    from smtpcheck.oauth.user_credential import UserCredential

    credential = settings.credentials.get(name)
    if credential is None:
        raise no_such("credential", name, settings.credentials)
    if not isinstance(credential, UserCredential):
        raise typer.BadParameter(f"{name} is of type {credential.type}, which needs no login")
    if not credential.needs_login:
        raise typer.BadParameter(f"{name} gets its token from the configuration and needs no login")
    return credential


async def _login(
    settings: "Settings", credential: "UserCredential", file: "TokenFile", *, port: int, force: bool
) -> int:
    from smtpcheck.model.printable import printable
    from smtpcheck.model.report import TokenError
    from smtpcheck.oauth.refresh import first_login

    answer = await _signed_in(credential, port, _further_scopes(settings, file.name))
    if isinstance(answer, TokenError):
        return _explained(credential, answer)
    kept = first_login(answer, issuer=credential.login_issuer, client_id=credential.client_id, now=time.time())
    if kept is None:
        return _refused("The issuer gave no refresh token; most require the scope offline_access for it.")
    print(printable(f"Logged in as {answer.account or 'a user whom the issuer does not name'}."))
    checks = [check for check in settings.checks if check.credential == file.name]
    other_mailbox = next((check for check in checks if _is_of_another(check, answer.account)), None)
    if other_mailbox is not None and not force:
        return _refused(
            f"That is not the mailbox of check {other_mailbox.name}, {other_mailbox.mailbox}. Nothing is stored.\n"
            "Log in as that user; for a shared mailbox that this user may open, add --force."
        )
    reports = await _try_servers(settings, checks, file.name, answer.token)
    if any(_is_login_refused(report) for report in reports) and not force:
        return _refused("The server refuses the login. Nothing is stored; to store it anyway, add --force.")
    return await asyncio.to_thread(_keep, file, kept, tried=bool(reports) and not any(map(_has_failed, reports)))


def _further_scopes(settings: "Settings", name: str) -> list[str]:
    """Return the scopes for which checks by a mail API and finders will ask tokens of the credential."""
    finds = [find for plan in settings.loopbacks.values() for find in plan.searched]
    scopes = {find.scope for find in finds if find.credential == name}
    scopes |= {check.via.scope for check in settings.checks if check.via and check.credential == name}
    return sorted(scopes - {"", settings.credentials[name].scope})


async def _signed_in(credential: "UserCredential", port: int, further: list[str]) -> "TokenResponse | TokenError":
    """Let a user log in, and show on a terminal how long there is time for it."""
    from smtpcheck.model.printable import printable

    ends: list[float] = []
    cancelled = threading.Event()

    def show(invitation: "Invitation") -> None:
        ends.append(invitation.expires_at)
        code = f"\nand type the code\n\n    {invitation.code}\n" if invitation.code else ""
        print(printable(f"To log in, open\n\n    {invitation.address}\n{code}", keep="\n"), flush=True)

    task = asyncio.create_task(asyncio.to_thread(credential.sign_in, show, cancelled, port, further))
    try:
        with _progress() as show_progress:
            while not task.done():
                left = max(ends[0] - time.time(), 0.0) if ends else 0.0
                show_progress(
                    f"Waiting for the login, {left // 60:.0f}:{left % 60:02.0f} left" if ends else "Asking the issuer"
                )
                await asyncio.wait({task}, timeout=0.5)
        return task.result()
    finally:
        cancelled.set()


@contextmanager
def _progress() -> "Iterator[Callable[[str], None]]":
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status.update


async def _try_servers(settings: "Settings", checks: "list[Check]", name: str, token: "Secret") -> "list[Report]":
    """Log in at each check's server with the token, and show what came out."""
    from smtpcheck.agent.run_once import run_once
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.model.check import Depth
    from smtpcheck.model.report import Outcome
    from smtpcheck.oauth.static_token import StaticToken
    from smtpcheck.output import terminal
    from smtpcheck.output.finding import show

    wanted = [replace(check, depth=Depth.AUTH) for check in checks if check.depth >= Depth.AUTH]
    if not wanted:
        return []
    ready = StaticToken.model_validate({"from": {"value": token}})
    trial = replace(settings, credentials={**settings.credentials, name: ready})
    reports = list((await run_once(trial, wanted)).values())
    show(terminal.report_table(reports))
    rules = catalogue.load()
    for check, report in zip(wanted, reports, strict=True):
        if report.outcome is not Outcome.OK:
            show(terminal.details(report, check, rules))
    return reports


def _keep(file: "TokenFile", kept: "Login", *, tried: bool) -> int:
    from smtpcheck.oauth.token_store import LoginUnusableError

    try:
        with file.held():
            file.write(kept)
    except LoginUnusableError as error:
        return _refused(f"The login is valid, but cannot be stored: {error}")
    print(f"The refresh token is stored in {file.path}; a running agent picks it up within seconds.")
    if not tried:
        print("It has not been accepted by a server yet: run smtpcheck check.")
    return DONE if tried else UNSURE


def _is_of_another(check: "Check", account: str) -> bool:
    return bool(account) and check.mailbox.casefold() != account.casefold()


def _has_failed(report: "Report") -> bool:
    return report.failed_step is not None


def _is_login_refused(report: "Report") -> bool:
    from smtpcheck.model.check import Phase
    from smtpcheck.model.report import FaultKind

    step = report.failed_step
    return (
        step is not None and step.phase is Phase.AUTH and step.fault is not None and step.fault.kind is FaultKind.REPLY
    )


def _explained(credential: "UserCredential", error: "TokenError") -> int:
    """Show why there is no login: what the issuer said, and the findings as every command shows them."""
    from smtpcheck.diagnosis import catalogue
    from smtpcheck.diagnosis.explain import explain
    from smtpcheck.diagnosis.observation import Observation
    from smtpcheck.output.finding import findings_text, show

    seen = Observation(
        provider={"microsoft-user": "microsoft", "google-user": "google"}.get(credential.type, ""),
        flow="authorization_code",
        phase="token",
        scope=error.requested_scope,
        token_kind=error.kind,
        error=error.error,
        error_codes=error.error_codes,
        description=f"{error.description} {error.suberror} {error.body}".strip(),
        http_status=error.http_status,
        clock_offset=error.clock_offset,
        now=time.time(),
    )
    code = _refused(f"The login failed: {_reason(error)}")
    if not (error.error or error.endpoint):
        return code  # nobody was asked
    rules = catalogue.load()
    show(findings_text(explain(seen, rules), rules))
    return code


def _reason(error: "TokenError") -> str:
    """Return what the issuer said, or what went wrong on the way, and which address was asked."""
    said = ": ".join(part for part in (error.error, error.description) if part) or error.kind.replace("_", " ")
    if error.error or not error.endpoint:
        return said
    status = f"HTTP {error.http_status} " if error.http_status else ""
    return f"{status}from {error.endpoint}: {said}"


def _refused(text: str) -> int:
    from smtpcheck.model.printable import printable

    print(printable(text, keep="\n"), file=sys.stderr)
    return REFUSED
