"""The questions of the inspection, one file each; a new one is a file here and its line in `QUESTIONS`.

They are in the order in which they are asked: what separates the causes of a refused login best comes first.
"""

from smtpcheck.inspection.question import Question
from smtpcheck.inspection.questions.application_credentials import APPLICATION_CREDENTIALS
from smtpcheck.inspection.questions.blocked_sender import BLOCKED_SENDER
from smtpcheck.inspection.questions.conditional_access import CONDITIONAL_ACCESS
from smtpcheck.inspection.questions.consents import CONSENTS
from smtpcheck.inspection.questions.delegation import DELEGATION
from smtpcheck.inspection.questions.enterprise_application import ENTERPRISE_APPLICATION
from smtpcheck.inspection.questions.exchange_mailbox import EXCHANGE_MAILBOX
from smtpcheck.inspection.questions.exchange_registration import EXCHANGE_REGISTRATION
from smtpcheck.inspection.questions.federated_credentials import FEDERATED_CREDENTIALS
from smtpcheck.inspection.questions.gmail_incidents import GMAIL_INCIDENTS
from smtpcheck.inspection.questions.gmail_settings import GMAIL_SETTINGS
from smtpcheck.inspection.questions.mailbox_rights import MAILBOX_RIGHTS
from smtpcheck.inspection.questions.mailbox_user import MAILBOX_USER
from smtpcheck.inspection.questions.message_centre import MESSAGE_CENTRE
from smtpcheck.inspection.questions.message_trace import TRACES
from smtpcheck.inspection.questions.organisation import ORGANISATION
from smtpcheck.inspection.questions.quarantine import QUARANTINE
from smtpcheck.inspection.questions.role_assignments import ROLE_ASSIGNMENTS
from smtpcheck.inspection.questions.role_scope import ROLE_SCOPE
from smtpcheck.inspection.questions.security_defaults import SECURITY_DEFAULTS
from smtpcheck.inspection.questions.service_account import SERVICE_ACCOUNT_KEYS
from smtpcheck.inspection.questions.service_health import SERVICE_HEALTH
from smtpcheck.inspection.questions.shared_mailbox import SHARED_MAILBOX
from smtpcheck.inspection.questions.sign_ins import SIGN_INS
from smtpcheck.inspection.questions.smtp_auth import SMTP_AUTH_MAILBOX, SMTP_AUTH_TENANT
from smtpcheck.inspection.questions.workspace_user import WORKSPACE_USER

QUESTIONS: tuple[Question, ...] = (
    ENTERPRISE_APPLICATION,
    CONSENTS,
    SIGN_INS,
    EXCHANGE_REGISTRATION,
    MAILBOX_USER,
    EXCHANGE_MAILBOX,
    SMTP_AUTH_MAILBOX,
    SMTP_AUTH_TENANT,
    MAILBOX_RIGHTS,
    ROLE_SCOPE,
    ROLE_ASSIGNMENTS,
    APPLICATION_CREDENTIALS,
    FEDERATED_CREDENTIALS,
    SHARED_MAILBOX,
    BLOCKED_SENDER,
    SECURITY_DEFAULTS,
    CONDITIONAL_ACCESS,
    ORGANISATION,
    SERVICE_HEALTH,
    MESSAGE_CENTRE,
    WORKSPACE_USER,
    SERVICE_ACCOUNT_KEYS,
    DELEGATION,
    GMAIL_SETTINGS,
    GMAIL_INCIDENTS,
)
"""All of them; each names the types of credentials about which it is asked."""
OF_LOST_MESSAGES: tuple[Question, ...] = (*TRACES, QUARANTINE)
"""What is asked of a message that a loopback has lost, and of nothing else."""
