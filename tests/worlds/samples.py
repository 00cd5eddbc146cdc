"""A check as an example, for tests that need one and do not care which."""

from smtpcheck.model.check import Check, Depth, Provider, Security, Server, Warn

BILLING = Check(
    name="billing",
    mailbox="billing@example.org",
    credential="site",
    provider=Provider.GENERIC,
    server=Server("smtp.example.org", 587, Security.STARTTLS, "smtp.example.org", "[127.0.0.1]"),
    depth=Depth.AUTH,
    interval=60.0,
    timeout=20.0,
    token_timeout=10.0,
    sender="billing@example.org",
    recipient=None,
    mechanism=None,
    warn=Warn(1.0, 1.0, 1.0, 1.0),
)
