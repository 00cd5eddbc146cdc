"""One run of one check, from the token to its outcome.

It runs nothing by itself: schedules are in `agent/`, and what a run looks like to people is in `output/`.
"""
