"""The type that hides a secret, the sources of secrets, their redaction, and whether a file of theirs has changed.

Tokens are acquired in `oauth/`; what a secret is needed for is not known here.
"""
