"""Mail by a provider's HTTP API in place of SMTP: one message, or a proof of the right to send without one."""
