"""Sends the spans of runs to an OTLP endpoint by HTTP (https://opentelemetry.io/docs/specs/otlp/).

Rules of this file:
- Nothing waits for the endpoint: spans are put into a bounded queue, and a thread of OpenTelemetry's sends them in
  batches. What does not fit is dropped, and the log says so.
- The spans are made whole, with the times of the report; no span is ever open.
- What the settings leave open, OpenTelemetry's variables say: certificates, compression, time limit, service name.
"""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from smtpcheck import __version__
from smtpcheck.http_client.blocking import BlockingSession, ExchangeError
from smtpcheck.http_client.exchange import Limits
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report
from smtpcheck.output.tracing.spans import Span, spans_of
from smtpcheck.secrets.source import SecretSource, SecretUnreadableError

CLOSE_SECONDS = 5.0
"""How long the end waits for the last spans to be sent."""
LIMITS = Limits(seconds=25.0, octets=64 * 1024)
"""For each batch; OpenTelemetry's own time limit may be shorter."""
_PATH = "/v1/traces"
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("smtpcheck", __version__)
_log = structlog.get_logger(__name__)


class _Headers(requests.auth.AuthBase):
    """Sets headers whose values are secrets, read at each request: a file may change meanwhile."""

    def __init__(self, sources: Mapping[str, SecretSource]) -> None:
        self._sources = sources

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        for name, source in self._sources.items():
            request.headers[name] = source.read().reveal()
        return request


class _Session(BlockingSession):
    """Says once that traces are not accepted, and once that they are again; the exporter would repeat the answer."""

    def __init__(self) -> None:
        super().__init__(limits=LIMITS, library_chooses_tls=True)
        self._failing = False

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            response = super().request(method, url, *args, **kwargs)
        except (ExchangeError, SecretUnreadableError) as error:
            self._say(str(error))
            raise
        self._say("" if response.ok else f"HTTP {response.status_code}")
        return response

    def _say(self, reason: str) -> None:
        if reason and not self._failing:
            _log.warning("traces are not accepted", reason=reason)
        elif self._failing and not reason:
            _log.info("traces are accepted again")
        self._failing = bool(reason)


class OtlpTracer:
    """Sends the spans of runs."""

    def __init__(self, endpoint: str | None, headers: Mapping[str, SecretSource]) -> None:
        """Send to an endpoint, with these headers; None: to the one that OpenTelemetry's variables name."""
        url = endpoint.removesuffix(_PATH).rstrip("/") + _PATH if endpoint else None
        session = _Session()
        session.auth = _Headers(headers)
        ours = Resource({"service.name": "smtpcheck", "service.version": __version__})
        self._resource = ours.merge(OTELResourceDetector().detect())
        self._exporter = OTLPSpanExporter(url, session=session)
        self._processor = BatchSpanProcessor(self._exporter)
        self._ids = RandomIdGenerator()

    def new_id(self) -> str:
        """Return an id for the trace of a run (hex)."""
        return f"{self._ids.generate_trace_id():032x}"

    def record(self, check: Check, report: Report, trace_id: str) -> None:
        """Have the spans of a run sent as the trace of that id; nothing is waited for."""
        root: SpanContext | None = None
        for span in spans_of(check, report):
            context = SpanContext(
                int(trace_id, 16), self._ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED
            )
            self._processor.on_end(self._readable(span, context, root))
            root = root or context

    def _readable(self, span: Span, context: SpanContext, parent: SpanContext | None) -> ReadableSpan:
        error = {"error.type": span.error} if span.error else {}
        return ReadableSpan(
            span.name,
            context,
            parent,
            self._resource,
            {**span.attributes, **error},
            kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=round(span.start * 1e9),
            end_time=round(span.end * 1e9),
            instrumentation_scope=_SCOPE,
        )

    async def close(self) -> None:
        """Send what is waiting, for at most `CLOSE_SECONDS`."""
        thread = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_SECONDS)
        if thread.is_alive():
            # Else it would try again for as long as its own time limit.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
