"""Limits on what a mailbox, a host and a tenant are asked for: connections, concurrency, messages.

They are built once by `check/kit.py` and shared; how long a refused check backs off is in `model/backoff.py`.
"""
