"""Histograms of seconds, which prometheus_client's exposition writes.

Rules of this file:
- Every run observes a dozen times. prometheus_client's own histogram takes two locks for each and tries its buckets one
  after the other, eight times the work; so this one only counts.
- One thread observes; another may collect meanwhile, and at worst misses in a sum what is in its count.
- What has a trace becomes the exemplar of its bucket, with the trace's id. Exemplars are OpenMetrics': the text format
  leaves them out.
"""

import time
from bisect import bisect_left
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.samples import Exemplar

from smtpcheck.output.metrics.families import Family


class _Distribution:
    """What was observed of one series."""

    __slots__ = ("counts", "exemplars", "seconds")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.exemplars: list[Exemplar | None] = [None] * buckets
        self.seconds = 0.0
        """In sum."""


class Histogram:
    """The series of one family, by the values of its labels."""

    def __init__(self, family: Family) -> None:
        """Begin empty; a family without labels has its only series at once."""
        self._family = family
        self._series: dict[tuple[str, ...], _Distribution] = {}
        if not family.labels:
            self._begin(())

    def observe(self, seconds: float, values: tuple[str, ...] = (), trace_id: str = "") -> None:
        """Count a time in the series with these values of the labels; `trace_id` is empty where it has no trace."""
        series = self._series.get(values) or self._begin(values)
        bucket = bisect_left(self._family.buckets, seconds)
        series.counts[bucket] += 1
        series.seconds += seconds
        if trace_id:
            series.exemplars[bucket] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def collect(self) -> HistogramMetricFamily:
        """Return all series as prometheus_client takes them from a collector."""
        family = self._family
        metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        bounds = (*map(str, family.buckets), "+Inf")
        for values, series in self._series.copy().items():
            counts = accumulate(map(float, series.counts.copy()))
            buckets = [
                (bound, count, exemplar) if exemplar else (bound, count)
                for bound, count, exemplar in zip(bounds, counts, series.exemplars, strict=True)
            ]
            metric.add_metric(values, buckets, series.seconds)
        return metric

    def _begin(self, values: tuple[str, ...]) -> _Distribution:
        self._series[values] = series = _Distribution(len(self._family.buckets) + 1)
        return series
