"""Where secrets come from, and that none is shown.

Tokens are acquired in `oauth/`; here are the type that hides a value, its sources, and the redaction.
"""
