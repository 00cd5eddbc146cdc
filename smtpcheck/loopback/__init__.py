"""Messages that are sent and found again: plans, message states, and the finders for IMAP and Graph.

When they are sent and searched is the agent's (`agent/loopback.py`); what a message looks like is `mail/`.
"""
