"""The replies of Gmail, word for word, without the `<id> - gsmtp` that the server adds at the end.

Sources: https://support.google.com/a/answer/3726730 and transcripts in public reports.
"""

AUTH_OK = "235 2.7.0 Accepted"
AUTH_UNSUCCESSFUL = (
    "535-5.7.8 Username and Password not accepted. For more information, go to\n"
    "535 5.7.8  https://support.google.com/mail/?p=BadCredentials"
)
AUTH_CANCELLED = "501 5.5.2 Authentication cancelled"
AUTH_UNRECOGNIZED = "504 5.7.4 Unrecognized Authentication Type."
AUTH_UNDECODABLE = "501 5.5.2 Cannot Decode response."
APP_PASSWORD_REQUIRED = (
    "534-5.7.9 Application-specific password required. For more information, go to\n"
    "534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor"
)
NOT_AUTHENTICATED = (
    "530-5.7.0 Authentication Required. For more information, go to\n"
    "530 5.7.0  https://support.google.com/mail/?p=WantAuthError"
)
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first."
AUTH_TEMPORARY = "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later."
TOO_MANY_LOGINS = "454 4.7.0 Too many login attempts, please try again later."
DAILY_LIMIT = (
    "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n"
    "550-5.4.5 sending limits go to\n"
    "550 5.4.5  https://support.google.com/a/answer/166852"
)
HELLO_FIRST = "503 5.5.1 EHLO/HELO first."
BAD_SEQUENCE = "503 5.5.1 Bad sequence of commands."
INVALID_DOMAIN = (
    "501-5.5.4 HELO/EHLO argument is invalid, closing connection.\n501 5.5.4  https://support.google.com/mail/?p=helo"
)
INVALID_ARGUMENTS = "555 5.5.2 Syntax error, cannot decode response."
UNRECOGNIZED_COMMAND = "502 5.5.1 Unrecognized command."
LINE_TOO_LONG = "500 5.5.2 Line too long."
STARTTLS_READY = "220 2.0.0 Ready to start TLS"
SENDER_OK = "250 2.1.0 OK"
RECIPIENT_OK = "250 2.1.5 OK"
START_MAIL = "354 Go ahead"
RESETTING = "250 2.1.5 Flushed"
OK = "250 2.0.0 OK"
CANNOT_VERIFY = "252 2.1.5 Send some mail, I'll try my best"
BYE = "221 2.0.0 closing connection"
