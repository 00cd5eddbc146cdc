"""What a mailbox, a host and a tenant may be asked to bear: connections, concurrency, messages.

Limits are built once by `check/kit.py` and shared; how long a refused check waits is `model/backoff.py`.
"""
