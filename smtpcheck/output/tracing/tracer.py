"""Whether runs are traced, and where to.

Rules of this file:
- OpenTelemetry is imported only where an endpoint is configured, here or by its own variables
  (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). It is an extra: `pip install 'smtpcheck[otlp]'`.
- Checks are more important than traces: what hinders these is logged, and the checks run.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Protocol

import structlog

from smtpcheck.config.tracing import INSTALL, NOT_INSTALLED, Otlp, is_installed
from smtpcheck.model.check import Check
from smtpcheck.model.report import Report

_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_log = structlog.get_logger(__name__)


class Tracer(Protocol):
    """Takes runs that have ended."""

    def new_id(self) -> str:
        """Return an id for the trace of a run (hex)."""

    def record(self, check: Check, report: Report, trace_id: str) -> None:
        """Have the spans of a run sent as the trace of that id; nothing is waited for."""

    async def close(self) -> None:
        """Send what is waiting, within a bounded time."""


async def tracer(otlp: Otlp | None, environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """Return what sends traces where the settings or OpenTelemetry's variables say; None where neither do."""
    named = any(environment.get(name) for name in _VARIABLES)
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or (otlp is None and not named):
        return None
    if not is_installed():
        _log.error(f"no traces: OTLP {NOT_INSTALLED}", fix=INSTALL)
        return None
    from smtpcheck.output.tracing.otlp import OtlpTracer  # noqa: PLC0415 - needs OpenTelemetry

    return await asyncio.to_thread(OtlpTracer, otlp.endpoint if otlp else None, otlp.headers if otlp else {})
