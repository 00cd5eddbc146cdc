"""The scenarios of the inspection: what looks the same from outside, and what the provider itself says of it.

Rules of this file:
- A scenario is one row; the refusals of those whose names begin alike are the same, word for word.
- Of one credential no more than three fail alike: an agent asks about no more of them.
"""

from collections.abc import Mapping
from dataclasses import replace

from smtpcheck.model.cause import Cause
from smtpcheck.sandbox import gmail_replies, replies
from smtpcheck.sandbox.directory import IssuerFailure
from smtpcheck.sandbox.flaws import Flaw
from smtpcheck.sandbox.mail_store import Delivery
from smtpcheck.sandbox.scenario import (
    AUDITOR,
    CONTOSO_MAIL,
    DOMAIN,
    GMAIL,
    RECIPIENT,
    WORKSPACE_AUDITOR,
    CredentialKind,
    Registration,
    Scenario,
)

_INSPECTED = Registration("contoso-inspected", inspected_by=AUDITOR)
_BLIND = Registration("auditor-blind", CredentialKind.CERTIFICATE, roles=(), graph_roles=())
"""An inspector that nobody gave a permission."""
_WORKSPACE = Registration("workspace-inspected", CredentialKind.GOOGLE_ACCOUNT, inspected_by=WORKSPACE_AUDITOR)
_SEND: Mapping[str, object] = {"depth": "send", "recipient": RECIPIENT, "interval": "15m"}
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
        "bare-535-no-permission",
        "Nobody has consented to the application's permission to send by SMTP.",
        Cause.MISSING_SMTP_PERMISSION,
        registration=Registration("contoso-no-permission", roles=(), inspected_by=AUDITOR),
    ),
    Scenario(
        "bare-535-tenant-switch",
        "SMTP AUTH is off for the tenant, the mailbox has no setting of its own, and the refusal does not say so.",
        Cause.SMTP_AUTH_DISABLED_TENANT,
        registration=Registration("contoso-tenant-switch", inspected_by=AUDITOR),
        flaw=Flaw.SMTP_AUTH_OFF_TENANT,
    ),
    Scenario(
        "criteria-smtp-auth",
        "SMTP AUTH is off for the mailbox, and the refusal speaks of criteria that were not met.",
        Cause.SMTP_AUTH_DISABLED_MAILBOX,
        registration=_INSPECTED,
        refuses={"AUTH": replies.CRITERIA_NOT_MET},
        flaw=Flaw.SMTP_AUTH_OFF,
    ),
    Scenario(
        "mailbox-not-opened",
        "A right was withdrawn: the login is still accepted, and the message cannot be submitted.",
        Cause.MAILBOX_PERMISSION_MISSING,
        check=_SEND,
        registration=_INSPECTED,
        refuses={"DATA": replies.MAILBOX_LOGON_FAILURE},
        flaw=Flaw.RIGHT_WITHDRAWN,
    ),
    Scenario(
        "sender-blocked",
        "The mailbox has sent spam, and Exchange has blocked it.",
        Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM,
        check=_SEND,
        registration=_INSPECTED,
        refuses={"DATA": replies.BAD_SENDER},
        flaw=Flaw.SENDER_BLOCKED,
    ),
    Scenario(
        "sender-nobody-may",
        "Nobody but its owner may send as the address that the check sends as.",
        Cause.SENDER_NOT_ALLOWED,
        check={**_SEND, "sender": f"press@{DOMAIN}"},
        registration=_INSPECTED,
        flaw=Flaw.NO_SEND_AS,
    ),
    Scenario(
        "secret-removed",
        "The configured secret was removed from the application, which has another one.",
        Cause.SECRET_INVALID,
        registration=Registration("contoso-secret-removed", wrong_secret=True, inspected_by=AUDITOR),
    ),
    Scenario(
        "assignment-missing",
        "The application requires an assignment, and nobody has made one.",
        Cause.CONSENT_MISSING,
        registration=Registration("contoso-unassigned", inspected_by=AUDITOR),
        flaw=Flaw.ASSIGNMENT_REQUIRED,
    ),
    Scenario(
        "policy-refuses",
        "A policy of conditional access refuses the application.",
        Cause.CONDITIONAL_ACCESS,
        registration=Registration("contoso-refused", failure=IssuerFailure(code=53003), inspected_by=AUDITOR),
        flaw=Flaw.POLICY,
    ),
    Scenario(
        "consent-withdrawn",
        "What a user had consented to was withdrawn.",
        Cause.CONSENT_MISSING,
        registration=Registration("contoso-user-inspected", CredentialKind.USER, inspected_by=AUDITOR),
        flaw=Flaw.CONSENT_WITHDRAWN,
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
