"""One run of one check, from the token to its outcome.

It starts nothing by itself: schedules are in `agent/`, and how a report looks is in `output/`.
"""
