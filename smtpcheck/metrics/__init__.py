"""What Prometheus sees: the table of metrics, the rendering of checks, and the scrape."""

from smtpcheck.metrics.exposition import CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_TEXT, Metrics, wants_openmetrics
from smtpcheck.metrics.own import AgentState

__all__ = ["CONTENT_TYPE_OPENMETRICS", "CONTENT_TYPE_TEXT", "AgentState", "Metrics", "wants_openmetrics"]
