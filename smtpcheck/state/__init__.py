"""What outlives a restart: the state of each check, its history and outages, messages under way, alerts.

It keeps and loads; what follows from it is decided elsewhere. Refresh tokens are kept by `oauth/token_store.py`.
"""
