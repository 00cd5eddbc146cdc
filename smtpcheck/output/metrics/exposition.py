"""All metrics as one text, in the format that the scraper asked for.

Rules of this file:
- The series of a check are rendered once, when its run ends. A scrape joins them family by family, as both formats want
  all samples of a family together.
- `Metrics.pieces` may be run through in a thread of its own while the event loop records: it takes one snapshot of the
  rows, and a row is never mutated. Everything else here belongs to the event loop.
- They are pieces, so that a scrape that is compressed never has its whole text in memory.
- The formats: https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md (text 0.0.4) and
  https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md (1.0).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from prometheus_client import exposition as text_format
from prometheus_client.openmetrics import exposition as openmetrics_format

from smtpcheck.loopback.status import LoopbackStatus
from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Report
from smtpcheck.model.shard import ALONE, ShardAssignment
from smtpcheck.output.metrics.agent import AgentState, Measurements, Scrape
from smtpcheck.output.metrics.check import CheckSeries, Row, labelled, render, render_probe, series_of
from smtpcheck.output.metrics.families import OF_CONFIGURATION, OF_RUNS, PER_LOOPBACK
from smtpcheck.output.metrics.loopback import render_loopback
from smtpcheck.output.metrics.shard import render_shards
from smtpcheck.state.check_state import CheckState

CONTENT_TYPE_TEXT = "text/plain; version=0.0.4; charset=utf-8"
CONTENT_TYPE_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_AT_A_TIME = 512
"""The fragments of how many checks get their labels at a time: those of all would take as much memory again."""


class Metrics:
    """What a scrape shows."""

    def __init__(
        self, label_names: Collection[str], *, expose_addresses: bool, sharding: ShardAssignment = ALONE
    ) -> None:
        """Show these of the checks' own labels, the mailboxes only with `expose_addresses`, and the other agents."""
        self._label_names = frozenset(label_names)
        self._expose_addresses = expose_addresses
        self._rows: dict[str, Row] = {}
        self._series: dict[str, CheckSeries] = {}
        self._loopbacks: dict[str, Row] = {}
        self._measurements = Measurements()
        self._shards = render_shards(sharding, self._label_names)

    def record(self, check: Check, report: Report, state: CheckState, trace_id: str = "") -> None:
        """Count a run that has ended and render its check; `state` is what `State.record` returned for it.

        With the id of its trace the run becomes the exemplar of where it falls into the histograms.
        """
        self._measurements.observe(check, report, trace_id)
        self.show(check, state)

    def show(self, check: Check, state: CheckState) -> None:
        """Render a check, and count nothing."""
        series = self._series.get(check.name)
        if series is None or series.check is not check:
            series = self._series[check.name] = self._series_of(check)
        self._rows[check.name] = render(series.labels, state)

    def record_loopback(self, check: Check, loopback_status: LoopbackStatus) -> None:
        """Render what is known of a check's loopback."""
        self._loopbacks[check.name] = render_loopback(check, loopback_status, self._label_names)

    def observe_delivery(self, check: Check, seconds: float, trace_id: str = "") -> None:
        """Count how long a message took; `trace_id` is that of the run that sent it."""
        self._measurements.observe_delivery(check, seconds, trace_id)

    def relabel(
        self,
        label_names: Collection[str],
        *,
        expose_addresses: bool,
        checks: Iterable[Check],
        states: Mapping[str, CheckState],
        sharding: ShardAssignment = ALONE,
    ) -> None:
        """Take new settings: show exactly these checks, at once and by their new labels, and count nothing.

        What has not changed is not rendered again, so that a reload does not hold up the event loop. Of loopbacks those
        are shown that are recorded again.
        """
        before = (self._label_names, self._expose_addresses)
        self._label_names = frozenset(label_names)
        self._expose_addresses = expose_addresses
        self._shards = render_shards(sharding, self._label_names)
        shown = self._series if before == (self._label_names, expose_addresses) else {}
        series: dict[str, CheckSeries] = {}
        rows: dict[str, Row] = {}
        for check in checks:
            name, known = check.name, shown.get(check.name)
            if known is None or (known.check is not check and known.check != check):
                series[name] = new = self._series_of(check)
                rows[name] = render(new.labels, states.get(name))
            else:
                series[name] = known if known.check is check else replace(known, check=check)
                rows[name] = self._rows[name]
        self._series, self._rows, self._loopbacks = series, rows, {}

    def observe_lag(self, seconds: float, trace_id: str = "") -> None:
        """Count how long after it was due a scheduled run began; `trace_id` as that of `record`."""
        self._measurements.observe_lag(seconds, trace_id)

    def expose(self, *, openmetrics: bool, credentials: tuple[CredentialState, ...], agent: AgentState) -> bytes:
        """Return all metrics as OpenMetrics 1.0 or as text format 0.0.4."""
        return b"".join(self.pieces(openmetrics=openmetrics, credentials=credentials, agent=agent))

    def pieces(
        self, *, openmetrics: bool, credentials: tuple[CredentialState, ...], agent: AgentState
    ) -> Iterator[bytes]:
        """Yield what `expose` returns, a piece at a time; the snapshot is taken before the first one."""
        configured = [series.row for series in self._series.copy().values()]
        runs, loopbacks = list(self._rows.copy().values()), list(self._loopbacks.copy().values())
        for families, rows in ((OF_RUNS, runs), (OF_CONFIGURATION, configured), (PER_LOOPBACK, loopbacks)):
            labels = [row[0] for row in rows]
            for place, family in enumerate(families, 1):
                of_family = [row[place] for row in rows]
                if any(of_family):
                    yield family.header(openmetrics)
                    yield from _joined(of_family, labels)
        for family, samples in self._shards:
            yield family.header(openmetrics) + samples
        encode = openmetrics_format.generate_latest if openmetrics else text_format.generate_latest
        yield encode(Scrape(self._measurements, credentials, agent))

    def expose_probe(
        self,
        check: Check,
        report: Report | None,
        backoff_until: float | None,
        *,
        suppressed: bool,
        openmetrics: bool,
    ) -> bytes:
        """Return the metrics of one run that a request asked for, or where it was suppressed those of the last one."""
        fragments = render_probe(self._series_of(check), report, backoff_until, suppressed=suppressed)
        parts = [family.header(openmetrics) + fragment for family, fragment in fragments if fragment]
        return b"".join((*parts, b"# EOF\n" if openmetrics else b""))

    def _series_of(self, check: Check) -> CheckSeries:
        return series_of(check, self._label_names, expose_addresses=self._expose_addresses)


def _joined(fragments: list[bytes], labels: list[bytes]) -> Iterator[bytes]:
    """Yield the samples of a family, those of some checks at a time."""
    for first in range(0, len(fragments), _AT_A_TIME):
        some = slice(first, first + _AT_A_TIME)
        yield b"".join(labelled(fragments[some], labels[some]))


def wants_openmetrics(accept: str) -> bool:
    """Return whether an Accept header (RFC 9110 12.5.1) prefers OpenMetrics 1.0 to the text format."""
    openmetrics, text = 0.0, 0.0
    for media_range in accept.split(","):
        name, *parameters = (part.strip().lower() for part in media_range.split(";"))
        values = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        quality = _quality(values.get("q", "1"))
        if name == "application/openmetrics-text" and values.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, quality)
        elif name == "text/plain":
            text = max(text, quality)
    return openmetrics > 0 and openmetrics >= text


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
