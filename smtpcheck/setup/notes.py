"""What a script does not do, and what to know of what it does: the notes at its top."""

from collections.abc import Iterator, Sequence

from smtpcheck.config.settings import Settings
from smtpcheck.inspection.questions.quarantine import QUARANTINE
from smtpcheck.model.check import Provider
from smtpcheck.model.permission import Permission
from smtpcheck.oauth.clouds import Cloud
from smtpcheck.setup.choices import Grant
from smtpcheck.setup.needs import READING_GROUP, must_be_refused, questions_of
from smtpcheck.setup.plan import Application

MANY_MAILBOXES = 500
_COMMUNICATION_SERVICES = "acs"
"""As a provider of SMTP and as a mail API."""
_MESSAGE_TRACE = "ExchangeMessageTrace.Read.All"
_MESSAGE_TRACE_SERVICE = "8bd644d1-64a1-4d4b-ae52-2e0cbf64e373"
_SECONDS_EACH = 4


def notes_on_plan(applications: Sequence[Application], cloud: Cloud, grant: Grant) -> Iterator[str]:
    """Yield what holds for the plan as a whole."""
    mailboxes = [mailbox for application in applications for mailbox in application.mailboxes]
    by_role = any(application.roles for application in applications)
    if any(mailbox.full_access for mailbox in mailboxes):
        yield (
            "FullAccess, which Exchange demands beside SMTP.SendAsApp and IMAP.AccessAsApp, opens all content of a "
            "mailbox. For sending by SMTP alone --grant rbac-group gives less."
        )
    if by_role:
        yield _reach_of_roles(grant)
    if any(application.role_groups for application in applications):
        yield (
            f"The role group {READING_GROUP} may read the settings of Exchange and change nothing. Whether it suffices "
            "for every question is not documented; what it may not read, Global Reader in Entra may."
        )
    consents = {consent for application in applications for consent in application.consents if not consent.full_access}
    yield from map(_reach_of_consent, sorted(consents, key=lambda each: each.name))
    if any(consent.name == _MESSAGE_TRACE for consent in consents):
        yield (
            f"{_MESSAGE_TRACE} works once the tenant has the enterprise application of the service, which takes hours: "
            f"New-MgServicePrincipal -AppId {_MESSAGE_TRACE_SERVICE}"
        )
    if by_role and any(mailbox.send_as for mailbox in mailboxes):
        yield (
            "Whether Exchange asks for Send As too, where a role covers the mailbox but not the sender, is not "
            "documented: the script grants it."
        )
    if len(mailboxes) > MANY_MAILBOXES:
        minutes = len(mailboxes) * _SECONDS_EACH // 60
        yield f"{len(mailboxes)} mailboxes may take {minutes} minutes; after an interruption run the script again."
    if cloud is not Cloud.GLOBAL:
        yield (
            f"For cloud {cloud} the names of hosts and environments come from public configurations of "
            "administrators: Microsoft has no page on SMTP there."
        )


def _reach_of_roles(grant: Grant) -> str:
    if grant is Grant.RBAC_AU:
        return (
            "RBAC for Applications reaches every mailbox of the administrative unit, now and later; the script adds "
            "none to it. It takes 30 minutes to 2 hours to take effect."
        )
    return (
        "RBAC for Applications reaches the direct members of the group (those of nested groups do not count), and who "
        "owns the group decides who they are. It takes 30 minutes to 2 hours to take effect."
    )


def _reach_of_consent(consent: Permission) -> str:
    return f"{consent.name} of {consent.api.title} is for the whole tenant: it cannot be limited."


def notes_on_inspector(settings: Settings, name: str) -> Iterator[str]:
    """Yield what the questions that the credential called `name` asks need, and a script does not grant."""
    for plan in settings.inspections.values():
        if plan.by == name and QUARANTINE in questions_of(settings, plan):
            roles = " or ".join(QUARANTINE.needs.directory_roles)
            yield (
                f"Not in this script: why a lost message is in quarantine may be read by who has {roles} in Entra. "
                "Both read much more than that; without them the message trace still says that it is there."
            )


def notes_on_checks(settings: Settings, name: str) -> Iterator[str]:
    """Yield what checks of the credential called `name` need that a script cannot or must not grant."""
    for check in settings.checks:
        if check.credential != name:
            continue
        if must_be_refused(check):
            yield f"{check.mailbox} is granted nothing: check {check.name} expects that its login is refused."
        elif (check.via.api if check.via else check.provider) == _COMMUNICATION_SERVICES:
            yield (
                f"Not in this script: Azure Communication Services, which check {check.name} uses. Give the "
                "application a role at that resource (Communication and Email Service Owner), and for SMTP link it to "
                "the SMTP user name."
            )
        elif check.via is None and check.provider is Provider.HVE:
            yield (
                f"Not in this script: allow the application for the High Volume Email account {check.mailbox} in the "
                "Exchange admin center (Mail flow > High Volume Email)."
            )
