"""The replies of Exchange Online, word for word, without the `[HOST time id]` that the server adds to a refusal.

Sources: Microsoft's pages on client submission and on non-delivery reports, and transcripts in public reports.
"""

AUTH_OK = "235 2.7.0 Authentication successful"
AUTH_UNSUCCESSFUL = "535 5.7.3 Authentication unsuccessful"
AUTH_CANCELLED = AUTH_UNSUCCESSFUL  # RFC 4954 section 4 wants 501
AUTH_UNRECOGNIZED = "504 5.7.4 Unrecognized authentication type"
AUTH_UNDECODABLE = "501 5.5.2 Cannot Decode response"
BASIC_AUTH_DISABLED = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."
BASIC_AUTH_RETIRED = "550 5.7.30 Basic authentication is not supported for Client Submission."
PASSWORD_WRONG = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."
SECURITY_DEFAULTS = (
    "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. "
    "Contact your administrator."
)
CRITERIA_NOT_MET = (
    "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. "
    "Contact your administrator."
)
SMTP_AUTH_DISABLED_TENANT = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
SMTP_AUTH_DISABLED_MAILBOX = (
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
NOT_AUTHENTICATED = "530 5.7.57 Client not authenticated to send mail"
RELAY_DENIED = "550 5.7.64 TenantAttribution; Relay Access Denied SMTP"
STARTTLS_FIRST = "451 5.7.3 Must issue a STARTTLS command first"
TOO_MANY_CONNECTIONS = (
    "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."
)
MAILBOX_LOGON_FAILURE = (
    "430 4.2.0 STOREDRV; mailbox logon failure; "
    "STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; "
    "Failed to process message due to a transient exception with message Cannot open mailbox."
)
SEND_AS_DENIED = (
    "554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {sender}; "
    "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; "
    "Failed to process message due to a permanent exception with message Cannot submit message."
)
BAD_SENDER = "550 5.1.8 Access denied, bad outbound sender"
SERVICE_NOT_AVAILABLE = "421 4.3.2 Service not available"
HELLO_FIRST = "503 5.5.2 Send hello first"
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands"
INVALID_DOMAIN = "501 5.5.4 Invalid domain name"
INVALID_ARGUMENTS = "501 5.5.4 Invalid arguments"
UNRECOGNIZED_COMMAND = "500 5.3.3 Unrecognized command"
LINE_TOO_LONG = "500 5.5.2 Line too long"
STARTTLS_READY = "220 2.0.0 SMTP server ready"
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
START_MAIL = "354 Start mail input; end with <CRLF>.<CRLF>"
RESETTING = "250 2.0.0 Resetting"
OK = "250 2.0.0 OK"
CANNOT_VERIFY = "252 2.1.5 Cannot VRFY user"
BYE = "221 2.0.0 Service closing transmission channel"
RECIPIENT_NOT_FOUND = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
"""In a bounce of Exchange Online."""
DMARC_REFUSED = (
    "550 5.7.26 Unauthenticated email from contoso.example is not accepted due to domain's DMARC policy. "
    "Please contact the administrator of contoso.example domain. For more information, go to "
    "https://support.google.com/mail/answer/2451690 - gsmtp"
)
"""In a bounce of Gmail."""
GREYLISTED = "451 4.7.1 Greylisting in action, please come back later"
"""In a notice of delay of Postfix."""
