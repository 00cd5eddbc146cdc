"""What Prometheus sees: the table of metrics, the rendering of checks, and the scrape.

No room below `output/` knows a metric's name; serving a scrape is in `web/`.
"""

from smtpcheck.output.metrics.agent import AgentState
from smtpcheck.output.metrics.exposition import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_TEXT, Metrics, wants_openmetrics

__all__ = ["CONTENT_TYPE_OPENMETRICS", "CONTENT_TYPE_TEXT", "AgentState", "Metrics", "wants_openmetrics"]
