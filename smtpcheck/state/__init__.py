"""What outlives a restart: the state of each check, its history, messages under way, alerts.

It keeps and loads; what is decided by it is decided elsewhere. Refresh tokens are kept by `oauth/token_store.py`.
"""
