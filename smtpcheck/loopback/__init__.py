"""Messages that are sent and found again: plans, message states, and the finders for IMAP and Graph.

When a message is sent and searched for is decided in `agent/loopback.py`; what it looks like, in `mail/`.
"""
