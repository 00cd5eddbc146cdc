"""Traces, as a receiver of OTLP gets them: from an agent on the embedded world, and what happens without one."""

import asyncio
import gzip
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.samples import Sample

from smtpcheck.agent.agent import Agent
from smtpcheck.config import load, tracing
from smtpcheck.config.tracing import Otlp
from smtpcheck.loopback.finder import FolderKind
from smtpcheck.loopback.message_state import Stage
from smtpcheck.output.tracing import otlp
from smtpcheck.output.tracing.tracer import tracer
from smtpcheck.sandbox.scenario import RECIPIENT, Scenario
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from smtpcheck.secrets.source import SecretSource
from tests.output.metrics.test_metrics import CHECK
from tests.output.tracing.test_spans import GOOD
from tests.worlds.agents import HEALTHY, edit, running
from tests.worlds.loopback import Searcher, searcher_of_all
from tests.worlds.raw_server import serving
from tests.worlds.waiting import HANG_SECONDS, until

CHOSEN = tuple(one for one in SCENARIOS if one.name in {"healthy", "healthy-sender", "secret-expired", "wrong-user"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send soon, and take no setting from outside."""
    for name in tuple(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")


@dataclass
class Receiver:
    """What has come in."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def roots(self) -> list[Span]:
        return [span for span in self.spans() if not span.parent_span_id]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Receive OTLP over HTTP."""
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        receiver.bodies.append(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)
        receiver.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def check_of(span: Span) -> str:
    return str(attributes(span)["smtpcheck.check"])


async def test_each_run_is_a_trace_of_its_phases(tmp_path: Path) -> None:
    """With the causes and codes that its report has, and with no token, no secret and no address of a mailbox."""
    async with receiving() as receiver, World(tmp_path, CHOSEN) as world:
        (tmp_path / "key").write_text("a-key-for-the-collector")
        headers = {"x-api-key": {"file": "key"}}
        otlp = {"endpoint": receiver.url, "headers": headers}
        edit(world.config, lambda document: document["agent"].update(otlp=otlp))
        async with running(world.config) as agent:
            await until(lambda: set(map(check_of, receiver.roots())) == set(world.expected))
            reports = {name: state.report for name, state in agent.state.checks.items()}
        for root in receiver.roots():
            name = check_of(root)
            phases = [span for span in receiver.spans() if span.parent_span_id == root.span_id]
            assert {span.trace_id for span in phases} == {root.trace_id}
            assert [span.name for span in phases][-1] == reports[name].steps[-1].phase
            assert attributes(root)["smtpcheck.outcome"] == world.expected[name].outcome
            assert attributes(root).get("smtpcheck.model.cause") == world.expected[name].cause
            for span in phases:
                assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
                assert span.end_time_unix_nano <= root.end_time_unix_nano
        assert {headers["x-api-key"] for headers in receiver.headers} == {"a-key-for-the-collector"}
        everything = b"".join(receiver.bodies)
        assert [secret for secret in world.secrets() if secret.encode() in everything] == []
        assert b"@contoso" not in everything
        assert b"service.name" in everything


async def test_a_message_of_the_loopback_is_a_trace_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "smtpcheck")
    loopback = {"every": "1d", "to": RECIPIENT, "find": {"via": "none"}}
    scenario = Scenario("looping", "Sends.", check={"loopback": loopback})
    async with receiving() as receiver, World(tmp_path, [scenario]) as world:
        edit(world.config, lambda document: document["agent"].update(otlp={"endpoint": receiver.url}))
        with structlog.testing.capture_logs() as logged:
            async with running(world.config):
                await until(lambda: "data" in {span.name for span in receiver.spans()})
        (data,) = [span for span in receiver.spans() if span.name == "data"]
    (told,) = [entry for entry in logged if entry["event"] == "loopback"]
    assert (told["trace_id"], told["outcome"]) == (data.trace_id.hex(), "ok")


async def test_the_histograms_name_the_trace_of_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In OpenMetrics, which its own parser reads; the text format knows no exemplars."""
    caplog.set_level(logging.INFO, "smtpcheck")
    async with receiving() as receiver, World(tmp_path, HEALTHY) as world:
        edit(world.config, lambda document: document["agent"].update(otlp={"endpoint": receiver.url + "/v1/traces"}))
        with structlog.testing.capture_logs() as logged:
            async with running(world.config) as agent:
                await until(lambda: bool(receiver.roots()))
                text = (await agent.exposition(openmetrics=True)).decode()
                plain = (await agent.exposition(openmetrics=False)).decode()
    exemplars = {
        (family.name, sample.exemplar.labels["trace_id"])
        for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar
    }
    (trace,) = {span.trace_id.hex() for span in receiver.roots()}
    assert exemplars == {("smtpcheck_phase_seconds", trace), ("smtpcheck_schedule_lag_seconds", trace)}
    assert "trace_id" not in plain
    assert {entry["trace_id"] for entry in logged if entry["event"] == "run"} == {trace}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Have all finders look into what the world's service has accepted."""
    return searcher_of_all(monkeypatch)


LOOPING = Scenario("looping", "Sends.", check={"interval": "1d", "loopback": {"every": "1d", "to": RECIPIENT}})


def stage(agent: Agent) -> Stage | None:
    """Return where the message of `LOOPING` stands."""
    loopback_status = agent.loopback("looping")
    return loopback_status.record.messages[-1].stage if loopback_status and loopback_status.record.messages else None


async def deliveries(agent: Agent) -> tuple[float, list[str]]:
    """Return how many deliveries OpenMetrics shows, once there is one, and the traces of their exemplars."""
    async with asyncio.timeout(HANG_SECONDS):
        while not (samples := await delivery_samples(agent)):  # noqa: ASYNC110 - it is counted once it is on disk
            await asyncio.sleep(0.01)
    (count,) = (sample.value for sample in samples if sample.name.endswith("_count"))
    return count, [sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar]


async def delivery_samples(agent: Agent) -> list[Sample]:
    text = (await agent.exposition(openmetrics=True)).decode()
    return [
        sample
        for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
        if family.name == "smtpcheck_loopback_seconds"
        for sample in family.samples
    ]


async def test_a_delivery_names_the_trace_of_the_run_that_sent_the_message(tmp_path: Path, found: Searcher) -> None:
    """Also where another start of the agent finds it."""
    async with receiving() as receiver, World(tmp_path, [LOOPING]) as world:
        edit(world.config, lambda document: document["agent"].update(otlp={"endpoint": receiver.url}))
        found.world, found.kinds = world, ()
        async with running(world.config) as agent:
            await until(lambda: stage(agent) is Stage.ACCEPTED)
        found.kinds = (FolderKind.INBOX,)
        async with running(world.config) as agent:
            await until(lambda: stage(agent) is Stage.DELIVERED)
            shown = await deliveries(agent)
    (sending,) = (span.trace_id.hex() for span in receiver.spans() if span.name == "data")
    assert shown == (1.0, [sending])


async def test_a_delivery_without_traces_names_none(tmp_path: Path, found: Searcher) -> None:
    async with World(tmp_path, [LOOPING]) as world:
        found.world = world
        async with running(world.config) as agent:
            await until(lambda: stage(agent) is Stage.DELIVERED)
            assert await deliveries(agent) == (1.0, [])


async def test_checks_go_on_where_nobody_takes_the_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the agent's end waits for them within a bound."""
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(otlp, "LIMITS", replace(otlp.LIMITS, seconds=2 * HANG_SECONDS))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", str(2 * HANG_SECONDS))
    async with World(tmp_path, HEALTHY) as world:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            edit(world.config, lambda document: document["agent"].update(otlp={"endpoint": address}))
            edit(world.config, lambda document: document["checks"][0].update(interval="1s"))
            async with running(world.config) as agent:
                await until(lambda: "healthy" in agent.state.checks and agent.state.checks["healthy"].runs >= 3)
                begin = time.monotonic()
            assert time.monotonic() - begin < HANG_SECONDS


async def test_opentelemetrys_own_variables_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=from-outside")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mail")
        traced = await tracer(None)
        assert traced
        trace_id = traced.new_id()
        traced.record(CHECK, GOOD, trace_id)
        await traced.close()
        assert {span.trace_id.hex() for span in receiver.spans()} == {trace_id}
        assert [headers["x-api-key"] for headers in receiver.headers] == ["from-outside"]
        assert b"mail" in receiver.bodies[0]
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        assert await tracer(None) is None


async def test_without_an_endpoint_there_are_no_traces_and_nothing_is_imported() -> None:
    assert await tracer(None, {}) is None


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine without the extra."""
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)


async def test_what_hinders_traces_is_told_and_hinders_nothing_else(tmp_path: Path, missing: None) -> None:
    config = tmp_path / "checks.yaml"
    config.write_text(
        "agent: {otlp: {endpoint: 'http://localhost:4318'}}\n"
        "checks: [{name: a, depth: connect, server: {host: mx.example.org}}]\n"
    )
    assert [str(problem).partition("agent.otlp")[2] for problem in load([config]).problems] == [
        ": needs packages that are not installed\n  hint: pip install 'smtpcheck[otlp]'"
    ]
    with structlog.testing.capture_logs() as logged:
        assert await tracer(Otlp("http://localhost:4318")) is None
    assert [entry["event"] for entry in logged] == ["no traces: OTLP needs packages that are not installed"]


async def test_a_header_is_read_each_time_and_an_unreadable_one_costs_traces_alone(tmp_path: Path) -> None:
    """A key that comes later, or is another one meanwhile, needs no restart."""
    key = tmp_path / "key"
    source = SecretSource.model_validate({"file": key})
    async with receiving() as receiver:
        with structlog.testing.capture_logs() as logged:
            traced = await tracer(Otlp(receiver.url, {"x-api-key": source}))
            assert traced
            traced.record(CHECK, GOOD, traced.new_id())
            await until(lambda: bool(logged))
            for text in ("one", "another"):
                key.write_text(text)
                seen = len(receiver.headers)
                traced.record(CHECK, GOOD, traced.new_id())
                await until(lambda seen=seen: len(receiver.headers) > seen)  # type: ignore[misc]
            await traced.close()
    assert [headers["x-api-key"] for headers in receiver.headers] == ["one", "another"]
    assert [(entry["event"], entry.get("reason")) for entry in logged] == [
        ("traces are not accepted", f"file {key} does not exist"),
        ("traces are accepted again", None),
    ]


async def test_a_collector_that_repeats_the_key_is_reported_once_and_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OpenTelemetry's exporter would log what the collector says."""
    caplog.set_level(logging.DEBUG)
    refusal = b"HTTP/1.1 401 the-api-key\r\nContent-Length: 11\r\n\r\nthe-api-key"
    source = SecretSource.model_validate({"value": "the-api-key"})
    with serving([[refusal]]) as server, structlog.testing.capture_logs() as logged:
        traced = await tracer(Otlp(server.url, {"x-api-key": source}))
        assert traced
        for number in (1, 2):
            traced.record(CHECK, GOOD, traced.new_id())
            await until(lambda number=number: len(server.requests) >= number)  # type: ignore[misc]
        await traced.close()
    assert [(entry["event"], entry["reason"]) for entry in logged] == [("traces are not accepted", "HTTP 401")]
    assert "the-api-key" not in caplog.text
