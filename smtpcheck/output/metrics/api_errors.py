"""The error codes of mail APIs that are label values; any other is `other`.

Rule of this file: codes that the provider documents, as it writes them; no text that an API fills in itself.
"""

_GRAPH = """
ApplicationThrottled Authorization_RequestDenied BadRequest ErrorAccessDenied ErrorExceededMessageLimit
ErrorInternalServerError ErrorInvalidRecipients ErrorInvalidUser ErrorMailboxMoveInProgress
ErrorMailboxStoreUnavailable ErrorMessageSizeExceeded ErrorMessageSubmissionBlocked
ErrorMimeContentInvalidBase64String ErrorNonExistentMailbox ErrorQuotaExceeded ErrorSendAsDenied ErrorServerBusy
ErrorSubmissionQuotaExceeded InvalidAuthenticationToken MailboxNotEnabledForRESTAPI MailboxNotSupportedForRESTAPI
NoPermissionsInAccessToken RequestEntityTooLarge Request_ResourceNotFound ResourceNotFound ServiceUnavailable
TooManyRequests UnknownError activityLimitReached generalException
"""
"""https://learn.microsoft.com/graph/errors, https://learn.microsoft.com/graph/api/user-sendmail"""

_GOOGLE = """
ACCESS_TOKEN_SCOPE_INSUFFICIENT FAILED_PRECONDITION INTERNAL INVALID_ARGUMENT NOT_FOUND PERMISSION_DENIED
RESOURCE_EXHAUSTED UNAUTHENTICATED UNAVAILABLE accessNotConfigured authError backendError dailyLimitExceeded
delegationDenied domainPolicy failedPrecondition forbidden insufficientPermissions invalidArgument notFound
rateLimitExceeded userRateLimitExceeded
"""
"""https://developers.google.com/workspace/gmail/api/guides/handle-errors"""

_AMAZON = """
AccessDeniedException AccountSuspendedException BadRequestException ExpiredToken ExpiredTokenException
IncompleteSignature InvalidClientTokenId InvalidSignatureException LimitExceededException
MailFromDomainNotVerifiedException MessageRejected NotFoundException RequestExpired SendingPausedException
SignatureDoesNotMatch ThrottlingException TooManyRequestsException UnrecognizedClientException
"""
"""https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html"""

_AZURE = "Denied DomainNotLinked EmailDropped Forbidden InvalidSenderUserName RequestBodyValidationError Unauthorized"
"""https://learn.microsoft.com/rest/api/communication/email"""

_POSTMARK = "10 300 400 401 405 406 412 413"
"""https://postmarkapp.com/developer/api/overview#error-codes"""

_RESEND = """
application_error daily_quota_exceeded invalid_access invalid_api_key missing_api_key missing_required_field
monthly_quota_exceeded rate_limit_exceeded restricted_api_key validation_error
"""
"""https://resend.com/docs/api-reference/errors"""

_BREVO = "invalid_parameter missing_parameter not_enough_credits unauthorized"
"""https://developers.brevo.com/docs/how-it-works"""

_MAILJET = "mj-0002 mj-0003 mj-0004 mj-0013 send-0003 send-0008 send-0010"
"""https://dev.mailjet.com/email/guides/send-api-v31/"""

_AOTSEND = "40001 40002 40003 40004 40005 40006 40007 40008"
"""https://www.aotsend.com/doc/?id=111"""

API_ERRORS = frozenset(
    f"{_GRAPH} {_GOOGLE} {_AMAZON} {_AZURE} {_POSTMARK} {_RESEND} {_BREVO} {_MAILJET} {_AOTSEND}".split()
)
