"""The scenarios of the inspection: what looks the same from outside, and is told apart by the provider's own word.

Rule of this file: a scenario is one row; the refusals of five of them are the same, word for word.
"""

from collections.abc import Mapping
from dataclasses import replace

from smtpcheck.model.cause import Cause
from smtpcheck.sandbox import gmail_replies, replies
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.mail_store import Delivery
from smtpcheck.sandbox.scenario import (
    AUDITOR,
    CONTOSO_MAIL,
    DOMAIN,
    GMAIL,
    WORKSPACE_AUDITOR,
    CredentialKind,
    Registration,
    Scenario,
)

_INSPECTED = Registration("contoso-inspected", inspected_by=AUDITOR)
_BLIND = Registration("auditor-blind", CredentialKind.CERTIFICATE, roles=(), graph_roles=())
"""An inspector that nobody gave a permission."""
_WORKSPACE = Registration("workspace-inspected", CredentialKind.GOOGLE_ACCOUNT, inspected_by=WORKSPACE_AUDITOR)
_LOST: Mapping[str, object] = {
    "loopback": {"every": "5m", "warn_after": "2s", "lost_after": "4s", "to": f"probe-mail-quarantined@{DOMAIN}"}
}

INSPECTION_SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "bare-535-unregistered",
        "Exchange does not know the application.",
        Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
        registration=Registration("contoso-unregistered", inspected_by=AUDITOR),
        flaw=Flaw.NOT_REGISTERED,
    ),
    Scenario(
        "bare-535-object-id",
        "The application was registered in Exchange with the id of something else.",
        Cause.WRONG_OBJECT_ID_SERVICE_PRINCIPAL,
        registration=Registration("contoso-misregistered", inspected_by=AUDITOR),
        flaw=Flaw.WRONG_OBJECT_ID,
    ),
    Scenario(
        "bare-535-no-right",
        "The application has no right on the mailbox.",
        Cause.MAILBOX_PERMISSION_MISSING,
        registration=_INSPECTED,
        flaw=Flaw.NO_FULL_ACCESS,
    ),
    Scenario(
        "bare-535-smtp-auth",
        "SMTP AUTH is off for the mailbox, and the refusal does not say so.",
        Cause.SMTP_AUTH_DISABLED_MAILBOX,
        registration=_INSPECTED,
        flaw=Flaw.SMTP_AUTH_OFF,
    ),
    Scenario(
        "bare-535-no-mailbox",
        "The mailbox was deleted.",
        Cause.MAILBOX_MISSING_OR_UNLICENSED,
        registration=_INSPECTED,
        flaw=Flaw.MAILBOX_DELETED,
    ),
    Scenario(
        "inspector-blind",
        "The inspector has no permissions: the refusal keeps its several causes.",
        Cause.SERVICE_PRINCIPAL_NOT_REGISTERED,
        registration=Registration("contoso-blind", inspected_by=_BLIND),
        flaw=Flaw.NO_FULL_ACCESS,
    ),
    Scenario(
        "inspector-no-licence",
        "The tenant lacks a licence for the sign-in log, which is no fault of the check.",
        registration=_INSPECTED,
        flaw=Flaw.NO_LICENCE,
    ),
    Scenario(
        "drift",
        "A right was withdrawn since yesterday's reading; the mail servers do not know it yet.",
        warnings=frozenset({Cause.MAILBOX_PERMISSION_MISSING, Cause.SETTING_CHANGED}),
        registration=_INSPECTED,
        flaw=Flaw.RIGHT_WITHDRAWN,
    ),
    Scenario(
        "incident",
        "The service is not available; Microsoft has published an incident, and announced a change.",
        Cause.TRANSIENT_SERVER_ERROR,
        registration=_INSPECTED,
        refuses={"AUTH": replies.SERVICE_NOT_AVAILABLE},
        flaw=Flaw.INCIDENT,
    ),
    Scenario(
        "mail-quarantined",
        "A message never arrives, and the trace says that it is in quarantine.",
        Cause.MAIL_QUARANTINED,
        check=_LOST,
        registration=replace(CONTOSO_MAIL, name="contoso-mail-inspected", inspected_by=AUDITOR),
        delivery=Delivery(copies=0, trace="quarantined"),
    ),
    Scenario(
        "google-user-suspended",
        "The user is suspended in Google Workspace.",
        Cause.ACCOUNT_LOCKED,
        server=GMAIL,
        registration=_WORKSPACE,
        flaw=Flaw.SUSPENDED,
    ),
    Scenario(
        "google-no-mailbox",
        "The user has no mailbox at Gmail, and the refusal does not say so.",
        Cause.MAILBOX_MISSING_OR_UNLICENSED,
        server=GMAIL,
        registration=_WORKSPACE,
        refuses={"AUTH": gmail_replies.AUTH_UNSUCCESSFUL},
        flaw=Flaw.NO_MAILBOX,
    ),
    Scenario(
        "google-key-disabled",
        "Google has disabled the service account's key, for it was found in public.",
        Cause.SERVICE_ACCOUNT_KEY_INVALID,
        server=GMAIL,
        registration=replace(_WORKSPACE, name="workspace-key-disabled"),
        flaw=Flaw.KEY_DISABLED,
    ),
    Scenario(
        "google-incident",
        "Gmail cannot check logins, and Google has published an incident.",
        Cause.TRANSIENT_SERVER_ERROR,
        server=GMAIL,
        registration=_WORKSPACE,
        refuses={"AUTH": gmail_replies.AUTH_TEMPORARY},
        flaw=Flaw.GMAIL_INCIDENT,
    ),
)
