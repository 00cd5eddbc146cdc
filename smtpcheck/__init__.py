"""A monitoring agent for SMTP with OAuth2."""

__version__ = "0.2.0"
