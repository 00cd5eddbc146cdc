"""What vendors document, row by row: each reply and each code has its cause first, and says whether to try again."""

import pytest

from smtpcheck.diagnosis.catalogue import load
from smtpcheck.diagnosis.explain import describe, explain
from smtpcheck.diagnosis.observation import Observation, from_text
from smtpcheck.model.cause import Cause

CATALOGUE = load()
NO, YES = False, True

# phase, provider, reply, cause, whether trying again helps
REPLIES = [
    ("banner", "generic", "220 ************", "starttls_not_offered", NO),
    ("banner", "microsoft", "421 4.3.2 Service not available", "transient_server_error", YES),
    ("banner", "google", "421 4.7.0 Temporary System Problem. Try again later", "transient_server_error", YES),
    ("banner", "google", "421 4.3.0 Temporary System Problem. Try again later", "transient_server_error", YES),
    ("ehlo", "microsoft", "501 5.5.4 Invalid domain name", "envelope_syntax", NO),
    ("ehlo_tls", "generic", "503 5.5.2 Send hello first", "protocol_error", NO),
    ("mail", "generic", "503 5.5.1 Bad sequence of commands", "protocol_error", NO),
    ("mail", "microsoft", "451 5.7.3 Must issue a STARTTLS command first", "wrong_port_or_tls_mode", NO),
    ("mail", "google", "530 5.7.0 Must issue a STARTTLS command first", "wrong_port_or_tls_mode", NO),
    (
        "auth",
        "generic",
        "538 5.7.11 Encryption required for requested authentication mechanism",
        "wrong_port_or_tls_mode",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "504 5.7.4 Unrecognized authentication type [X.prod.outlook.com]",
        "mechanism_not_offered",
        NO,
    ),
    ("auth", "generic", "501 5.5.2 Cannot Decode response", "malformed_sasl", NO),
    ("auth", "microsoft", "501 5.5.124 Invalid XOAUTH2 auth data", "malformed_sasl", NO),
    (
        "auth",
        "microsoft",
        "535 5.7.139 ..., SmtpClientAuthentication is disabled for the Tenant.",
        "smtp_auth_disabled_tenant",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "535 5.7.139 ..., SmtpClientAuthentication is disabled for the Mailbox.",
        "smtp_auth_disabled_mailbox",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
        "basic_auth_retired",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
        "security_defaults",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated.",
        "conditional_access",
        NO,
    ),
    (
        "auth",
        "microsoft",
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "password_wrong",
        NO,
    ),
    ("auth", "microsoft", "535 5.7.139 ..., federated STS service was unreachable.", "issuer_unavailable", YES),
    ("auth", "microsoft", "535 5.7.139 ..., the federated STS URL does not support HTTPS.", "issuer_unavailable", YES),
    (
        "auth",
        "microsoft",
        "550 5.7.30 Basic authentication is not supported for Client Submission.",
        "basic_auth_retired",
        NO,
    ),
    ("auth", "microsoft", "454 4.7.0 Temporary authentication failure", "transient_server_error", YES),
    (
        "auth",
        "google",
        "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.",
        "transient_server_error",
        YES,
    ),
    ("auth", "google", "534-5.7.9 Application-specific password required", "app_password_required", NO),
    ("auth", "google", "534-5.7.14 <https://x> Please log in via your web browser", "account_locked", NO),
    ("mail", "google", "530 5.7.0 Authentication Required", "auth_not_attempted", NO),
    ("auth", "google", "421 4.7.0 Too many login attempts", "throttled_logins", YES),
    ("auth", "google", "454 4.7.0 Too many login attempts, please try again later", "throttled_logins", YES),
    ("auth", "microsoft", "421 4.4.2 Connection dropped due to SocketError", "connection_lost", YES),
    (
        "auth",
        "microsoft",
        "451 4.7.0 Temporary server error. Please try again later. PRX2",
        "transient_server_error",
        YES,
    ),
    ("mail", "microsoft", "530 5.7.57 Client not authenticated to send mail", "auth_not_attempted", NO),
    (
        "mail",
        "microsoft",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "sender_not_allowed",
        NO,
    ),
    (
        "data",
        "microsoft",
        "554 5.2.252 SendAsDenied; a@x not allowed to send as b@x; STOREDRV.Submission",
        "sender_not_allowed",
        NO,
    ),
    ("data", "microsoft", "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException", "sender_not_allowed", NO),
    (
        "data",
        "microsoft",
        "550 5.2.251 Sender throttled due to continuous mailbox full errors.",
        "sender_throttled",
        NO,
    ),
    (
        "data",
        "microsoft",
        "550 5.2.252 Sender throttled due to continuous send as denied errors.",
        "sender_throttled",
        NO,
    ),
    ("data", "microsoft", "550 5.2.253 something of invalid license errors.", "sender_throttled", NO),
    ("data", "microsoft", "550 5.2.254 something", "sender_throttled", NO),
    ("data", "microsoft", "550 5.2.255 something", "sender_throttled", NO),
    (
        "data",
        "microsoft",
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
        "throttled_rate",
        YES,
    ),
    (
        "data",
        "microsoft",
        "554 5.2.2 mailbox full; STOREDRV.Submission:QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
        "mailbox_full",
        NO,
    ),
    ("data", "microsoft", "432 4.3.2 Concurrent connections limit exceeded.", "throttled_connections", YES),
    (
        "data",
        "microsoft",
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        "throttled_connections",
        YES,
    ),
    ("data", "microsoft", "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", "throttled_rate", YES),
    (
        "data",
        "microsoft",
        "430 4.2.0 STOREDRV; mailbox logon failure; ConnectionFailedTransientException.MapiExceptionLogonFailed",
        "mailbox_permission_missing",
        YES,
    ),
    ("data", "microsoft", "451 4.7.500 Access denied, please try again later", "throttled_rate", YES),
    ("rcpt", "microsoft", "452 4.5.3 Too many recipients (AS780090)", "throttled_rate", YES),
    ("rcpt", "google", "452 4.5.3 Your message has too many recipients", "throttled_rate", YES),
    ("rcpt", "google", "452 4.2.2 The email account that you tried to reach is over quota", "mailbox_full", NO),
    (
        "rcpt",
        "google",
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly",
        "throttled_rate",
        YES,
    ),
    ("rcpt", "microsoft", "550 5.1.1 Bad destination mailbox address", "recipient_rejected", NO),
    ("rcpt", "google", "550-5.1.1 The email account that you tried to reach does not exist.", "recipient_rejected", NO),
    ("rcpt", "microsoft", "550 5.1.10 RESOLVER.ADR.RecipientNotFound", "recipient_rejected", NO),
    ("rcpt", "microsoft", "550 5.4.1 Recipient address rejected: Access denied", "recipient_rejected", NO),
    ("rcpt", "microsoft", "550 5.1.8 Access denied, bad outbound sender", "account_blocked_outbound_spam", NO),
    ("data", "microsoft", "550 5.7.501 Access denied, spam abuse detected", "account_blocked_outbound_spam", NO),
    ("data", "microsoft", "550 5.7.502 Access denied, banned sender", "account_blocked_outbound_spam", NO),
    ("data", "microsoft", "550 5.7.511 Access denied, banned sender", "account_blocked_outbound_spam", NO),
    ("data", "microsoft", "550 5.7.504 [recipient]: Recipient address rejected", "recipient_rejected", NO),
    ("data", "microsoft", "550 5.7.505 Access denied, banned recipient", "recipient_rejected", NO),
    ("data", "microsoft", "550 5.7.506 Access Denied, Bad HELO", "message_rejected", NO),
    (
        "data",
        "microsoft",
        "550 5.7.509 Access denied, sending domain does not pass DMARC verification",
        "sender_domain_unauthenticated",
        NO,
    ),
    (
        "data",
        "microsoft",
        "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant",
        "message_rejected",
        NO,
    ),
    ("data", "microsoft", "550 5.7.606 Access denied, banned sending IP", "sending_ip_rejected", NO),
    ("data", "microsoft", "550 5.7.649 Access denied", "sending_ip_rejected", NO),
    (
        "data",
        "microsoft",
        "550 5.7.705 Access denied, tenant has exceeded threshold",
        "account_blocked_outbound_spam",
        NO,
    ),
    (
        "data",
        "microsoft",
        "550 5.7.708 Access denied, traffic not accepted from this IP",
        "account_blocked_outbound_spam",
        NO,
    ),
    (
        "data",
        "microsoft",
        "550 5.7.750 Client blocked from sending from unregistered domain",
        "account_blocked_outbound_spam",
        NO,
    ),
    (
        "data",
        "microsoft",
        "550 5.7.232 Your message can't be sent because your tenant exceeded its daily limit",
        "throttled_rate",
        YES,
    ),
    ("data", "microsoft", "550 5.7.233 Your message can't be sent", "throttled_rate", YES),
    ("data", "microsoft", "550 5.2.122 The recipient has exceeded their limit", "throttled_rate", YES),
    ("data", "microsoft", "550 5.2.121 The recipient has exceeded their limit", "throttled_rate", YES),
    ("data", "microsoft", "552 5.3.4 Message size exceeds fixed maximum message size", "message_rejected", NO),
    (
        "data",
        "google",
        "552-5.7.0 This message was blocked because its content presents a potential",
        "message_rejected",
        NO,
    ),
    ("data", "google", "550 5.4.5 Daily user sending limit exceeded", "throttled_rate", YES),
    ("data", "google", "550-5.4.5 Daily user sending quota exceeded x - gsmtp", "throttled_rate", YES),
    ("data", "google", "550 5.7.1 Daily SMTP relay limit exceeded for customer", "throttled_rate", YES),
    ("data", "google", "450 4.2.1 Peak SMTP relay limit exceeded for customer", "throttled_rate", YES),
    (
        "data",
        "google",
        "421-4.7.0 unusual rate of unsolicited mail originating from your IP",
        "sending_ip_rejected",
        YES,
    ),
    ("data", "google", "550-5.7.26 This mail is unauthenticated", "sender_domain_unauthenticated", NO),
    ("data", "google", "451 4.5.0 SMTP protocol violation, see RFC 2821", "protocol_error", NO),
    (
        "starttls",
        "google",
        "454 4.5.0 SMTP protocol violation, no commands allowed to pipeline",
        "protocol_error",
        NO,
    ),
    ("data", "microsoft", "550 5.6.11 Invalid characters", "message_rejected", NO),
    (
        "auth",
        "generic",
        "535 5.7.8 Error: authentication failed: Invalid base64 data in initial response",
        "sasl_line_too_long",
        NO,
    ),
    ("auth", "generic", "500 5.5.6 SASL response limit exceeded", "sasl_line_too_long", NO),
    ("auth", "generic", "500 5.5.2 Line too long", "sasl_line_too_long", NO),
    ("auth", "generic", "421 Error: Command line too long", "sasl_line_too_long", NO),
    (
        "auth",
        "generic",
        "535 5.7.8 Error: authentication failed: Invalid authentication mechanism",
        "mechanism_not_offered",
        NO,
    ),
    ("auth", "generic", "454 4.7.0 Temporary authentication failure. [host:2026-11-23]", "transient_server_error", YES),
]

# cause, whether trying again helps, Entra's numbers
CODES: list[tuple[str, bool, tuple[int, ...]]] = [
    ("secret_invalid", NO, (7000215, 70002)),
    ("secret_expired", NO, (7000222,)),
    ("client_auth_required", NO, (7000218, 7000216)),
    ("public_client_secret_sent", NO, (700025,)),
    ("certificate_credential_rejected", NO, (700027, 700030, 50012, 50027, 135010, 1000502)),
    ("clock_skew", NO, (700024, 50013, 500133)),
    ("app_not_in_tenant", NO, (700016, 700011, 7000229, 700038)),
    ("app_disabled", NO, (7000112, 70001, 1000031)),
    ("tenant_not_found", NO, (90002, 900023, 50049)),
    (
        "authority_tenant_mismatch",
        NO,
        (90038, 900382, 900432, 50059, 90019, 50128, 50194, 9001023, 9002331, 9002332, 500201, 50020, 90072, 100007),
    ),
    ("resource_not_in_tenant", NO, (500011, 50001, 650052, 650054)),
    ("consent_missing", NO, (650056, 65005, 650057, 65001, 65004, 90094, 90095, 501051, 50105)),
    ("scope_invalid", NO, (70011, 1002012, 700022, 28002, 28003)),
    ("grant_type_not_allowed", NO, (70003, 7000114, 700054)),
    ("declared_permission_invalid", NO, (65006,)),
    ("token_corrupt_or_wrong_kind", NO, (9002313, 90014, 90023, 90100)),
    ("mailbox_missing_or_unlicensed", NO, (50034, 51004, 16000, 500341)),
    ("account_locked", NO, (50057, 50053)),
    ("password_wrong", NO, (50055, 50144, 50056, 50126)),
    ("mfa_required", NO, (50076, 50079, 50072, 50074, 50078)),
    (
        "conditional_access",
        NO,
        (
            53000,
            53001,
            53002,
            53003,
            530032,
            530003,
            53011,
            530034,
            50131,
            50158,
            500021,
            500022,
            500212,
            500213,
            70043,
        ),
    ),
    ("security_defaults", NO, (530035,)),
    (
        "refresh_token_expired_or_revoked",
        NO,
        (50173, 50132, 50133, 50089, 70000, 70008, 700082, 700084, 54005, 70018, 70019, 70020),
    ),
    ("consent_missing", YES, (70016,)),
    ("federated_assertion_mismatch", NO, (70021, 700211, 700212, 700213, 700223, 700238, 70025, 70052, 700229)),
    ("issuer_throttled", YES, (50196, 90055)),
    ("issuer_unavailable", YES, (50033, 50087, 50088, 90006, 90012, 90024, 90033, 90090, 50000, 90036)),
]

# error, description, flow, cause
GOOGLE = [
    ("unauthorized_client", "Unauthorized client or scope in request.", "service_account", "google_dwd_not_authorized"),
    (
        "unauthorized_client",
        (
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of"
            " the scopes requested."
        ),
        "service_account",
        "google_dwd_not_authorized",
    ),
    ("access_denied", "", "service_account", "google_dwd_not_authorized"),
    ("admin_policy_enforced", "", "authorization_code", "google_org_policy"),
    ("org_internal", "", "authorization_code", "google_org_policy"),
    ("invalid_client", "The OAuth client was not found.", "refresh_token", "google_client_not_found"),
    ("deleted_client", "", "refresh_token", "google_client_deleted"),
    ("disabled_client", "", "service_account", "app_disabled"),
    ("invalid_grant", "Not a valid email or user ID.", "service_account", "mailbox_missing_or_unlicensed"),
    ("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)", "service_account", "clock_skew"),
    ("invalid_grant", "Invalid JWT Signature.", "service_account", "service_account_key_invalid"),
    ("invalid_scope", "", "service_account", "scope_invalid"),
    ("invalid_grant", "Token has been expired or revoked.", "refresh_token", "refresh_token_expired_or_revoked"),
    ("invalid_grant", "Bad Request", "refresh_token", "refresh_token_expired_or_revoked"),
    ("invalid_grant", "Account has been deleted", "refresh_token", "account_locked"),
    ("invalid_grant", "Robot is disabled.", "service_account", "app_disabled"),
    ("invalid_request", "Invalid impersonation prn email address.", "service_account", "mailbox_missing_or_unlicensed"),
    (
        "invalid_request",
        "Invalid impersonation “sub” field: anna@contoso.com",
        "service_account",
        "mailbox_missing_or_unlicensed",
    ),
    (
        "invalid_request",
        "Invalid impersonation &quot;sub&quot; field: anna@contoso.com",
        "service_account",
        "mailbox_missing_or_unlicensed",
    ),
]


@pytest.mark.parametrize(("phase", "provider", "reply", "cause", "retry"), REPLIES)
def test_a_documented_reply_has_its_cause_first(phase: str, provider: str, reply: str, cause: str, retry: bool) -> None:
    found = explain(Observation(provider=provider, phase=phase, replies=(reply,), fault="reply"), CATALOGUE)
    told = describe(found[0], CATALOGUE)
    assert (told.cause, told.retry) == (Cause(cause), retry)


@pytest.mark.parametrize(
    ("code", "cause", "retry"), [(code, cause, retry) for cause, retry, codes in CODES for code in codes]
)
def test_a_code_of_entra_has_its_cause_first(code: int, cause: str, retry: bool) -> None:
    told = describe(explain(from_text(f"AADSTS{code}: something"), CATALOGUE)[0], CATALOGUE)
    assert (told.cause, told.retry) == (Cause(cause), retry)


@pytest.mark.parametrize(("error", "description", "flow", "cause"), GOOGLE)
def test_an_error_of_google_has_its_cause_first(error: str, description: str, flow: str, cause: str) -> None:
    seen = Observation(provider="google", phase="token", flow=flow, error=error, description=description)
    assert explain(seen, CATALOGUE)[0].cause == Cause(cause)
