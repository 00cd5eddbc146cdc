"""A report as JSON, text, log fields, metrics and traces.

It renders and decides nothing; pages are in `web/`, commands in `cli/`, the notifiers in `alerts/`.
"""
