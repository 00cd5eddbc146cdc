"""What values mean on every board: their words, their colours, and their thresholds.

Rule of this file: colours say what to do: red now, orange and yellow soon, green nothing, grey that nothing is known.
"""

from dashboards.panels import BAD, FAIR, GOOD, GREY, POOR

OUTCOMES = {"ok": GOOD, "warning": FAIR, "critical": BAD, "unknown": GREY}
WORKS = {"1": ("works", GOOD), "0": ("fails", BAD)}
YES_NO = {"1": ("yes", GOOD), "0": ("no", BAD)}
NO_YES = {"1": ("yes", BAD), "0": ("no", GOOD)}
GRANTED = {"1": ("granted", GOOD), "0": ("refused", POOR)}

DAYS = ((1, POOR), (7, FAIR), (30, GOOD))
"""Steps for the days until something expires, as in the alerts; below the first one it is red."""
AVAILABILITY = ((0.95, POOR), (0.99, FAIR), (0.999, GOOD))
BUDGET = ((0, POOR), (0.25, FAIR), (0.5, GOOD))
"""Steps for the remaining share of the error budget; below 0 the objective is missed."""
SELDOM = "5m"
"""The least distance of points that count runs or requests, which come once a minute or less."""
