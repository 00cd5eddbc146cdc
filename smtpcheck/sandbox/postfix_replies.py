"""The replies of Postfix with SASL, word for word.

Source: Postfix 3.7 with Dovecot's SASL, asked on loopback; https://www.postfix.org/postconf.5.html.
"""

AUTH_OK = "235 2.7.0 Authentication successful"
AUTH_UNSUCCESSFUL = "535 5.7.8 Error: authentication failed: (reason unavailable)"
AUTH_CANCELLED = "501 5.7.0 Authentication aborted"
AUTH_UNRECOGNIZED = "535 5.7.8 Error: authentication failed: Invalid authentication mechanism"
AUTH_UNDECODABLE = "535 5.7.8 Error: authentication failed: Invalid base64 data in continued response"
NOT_AUTHENTICATED = ""  # MAIL is taken, and RCPT refused (smtpd_delay_reject)
RELAY_DENIED = "554 5.7.1 <{recipient}>: Relay access denied"
SENDER_DENIED = "553 5.7.1 <{sender}>: Sender address rejected: not owned by user {mailbox}"
STARTTLS_FIRST = "530 5.7.0 Must issue a STARTTLS command first"
HELLO_FIRST = "503 5.5.1 Error: send HELO/EHLO first"
BAD_SEQUENCE = "503 5.5.1 Error: bad sequence of commands"
INVALID_DOMAIN = "501 5.5.4 Invalid domain name"
INVALID_ARGUMENTS = "501 5.5.4 Syntax error"
UNRECOGNIZED_COMMAND = "502 5.5.2 Error: command not recognized"
LINE_TOO_LONG = "500 5.5.2 Error: line too long"
STARTTLS_READY = "220 2.0.0 Ready to start TLS"
SENDER_OK = "250 2.1.0 Ok"
RECIPIENT_OK = "250 2.1.5 Ok"
START_MAIL = "354 End data with <CR><LF>.<CR><LF>"
RESETTING = "250 2.0.0 Ok"
OK = "250 2.0.0 Ok"
CANNOT_VERIFY = "252 2.0.0"
BYE = "221 2.0.0 Bye"
