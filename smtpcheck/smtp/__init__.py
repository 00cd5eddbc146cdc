"""One SMTP conversation: name resolution, connection, TLS, the dialogue and its login, each with what was seen of it.

What a run is for and what its outcome is are decided in `check/`; what a message looks like, in `mail/`.
"""
