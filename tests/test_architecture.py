"""The shape of the package: one table gives each file its layer, and the rules are read off the source by `ast`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smtpcheck"


class Layer(IntEnum):
    """A file imports from its own layer and from lower ones."""

    VOCABULARY = 0
    PURE = 1
    """Neither input nor output, neither clock nor chance: those enter as arguments."""
    EDGE = 2
    """What touches the world: sockets, issuers, files."""
    CHECK = 3
    """What makes one check of a configuration."""
    AGENT = 4
    FRONT = 5


@dataclass(frozen=True)
class Row:
    """What the files of one row may do."""

    layer: Layer
    libraries: frozenset[str] = frozenset()
    """Libraries beyond those that its layer may always import."""
    reveals: bool = False
    """Whether it may call `Secret.reveal()`."""


def _row(layer: Layer, *libraries: str, reveals: bool = False) -> Row:
    return Row(layer, frozenset(libraries), reveals)


TABLE = {
    # A folder ends with a slash; a row for a file goes before that of its folder.
    "__init__.py": _row(Layer.VOCABULARY),
    "cause.py": _row(Layer.VOCABULARY),
    "credential_facts.py": _row(Layer.VOCABULARY),
    "model.py": _row(Layer.VOCABULARY),
    "secret.py": _row(Layer.VOCABULARY),
    "availability.py": _row(Layer.PURE),
    "breaker.py": _row(Layer.PURE),
    "caps.py": _row(Layer.PURE),
    "check_state.py": _row(Layer.PURE),
    "cutoff.py": _row(Layer.PURE),
    "duration.py": _row(Layer.PURE),
    "expectation.py": _row(Layer.PURE),
    "history.py": _row(Layer.PURE),
    "judge.py": _row(Layer.PURE),
    "outage.py": _row(Layer.PURE),
    "schedule.py": _row(Layer.PURE),
    "alerts/notice.py": _row(Layer.PURE, "urllib"),
    "alerts/": _row(Layer.PURE),
    "run_facts.py": _row(Layer.PURE),
    "shard.py": _row(Layer.PURE),
    "spans.py": _row(Layer.PURE),
    "tenure.py": _row(Layer.PURE),
    "delivery/__init__.py": _row(Layer.PURE),
    "delivery/find.py": _row(Layer.VOCABULARY),
    "delivery/finder.py": _row(Layer.PURE),
    "delivery/folders.py": _row(Layer.PURE),
    "delivery/header.py": _row(Layer.PURE),
    "delivery/cadence.py": _row(Layer.PURE),
    "delivery/graph_plan.py": _row(Layer.PURE),
    "delivery/correlation.py": _row(Layer.PURE),
    "delivery/judgement.py": _row(Layer.PURE),
    "delivery/message.py": _row(Layer.PURE),
    "delivery/plan.py": _row(Layer.PURE),
    "delivery/receipt.py": _row(Layer.PURE),
    "delivery/timeline.py": _row(Layer.PURE),
    "delivery/trace.py": _row(Layer.PURE),
    "delivery/verdict.py": _row(Layer.PURE),
    "diagnosis/": _row(Layer.PURE),
    "metrics/": _row(Layer.PURE, "prometheus_client"),
    "oauth/claims.py": _row(Layer.PURE, reveals=True),
    "sharing.py": _row(Layer.PURE),
    "smtp/__init__.py": _row(Layer.PURE),
    "smtp/dialogue.py": _row(Layer.PURE),
    "smtp/reply.py": _row(Layer.PURE),
    "smtp/sasl.py": _row(Layer.PURE, reveals=True),
    "diagnosis/catalogue.py": _row(Layer.EDGE, "yaml"),
    "delivery/finders.py": _row(Layer.EDGE),
    "delivery/graph.py": _row(Layer.EDGE),
    "delivery/graph_client.py": _row(Layer.EDGE, reveals=True),
    "delivery/imap.py": _row(Layer.EDGE),
    "delivery/imap_client.py": _row(Layer.EDGE, "imapclient"),
    "delivery/imap_stream.py": _row(Layer.EDGE, "socket"),
    "notify/": _row(Layer.EDGE, reveals=True),
    "gate.py": _row(Layer.EDGE),
    "log.py": _row(Layer.EDGE),
    "oauth/": _row(Layer.EDGE, "msal", reveals=True),
    "otlp.py": _row(Layer.EDGE, "opentelemetry", reveals=True),
    "secret_source.py": _row(Layer.EDGE),
    "tracing.py": _row(Layer.EDGE),
    "state.py": _row(Layer.EDGE),
    "store/": _row(Layer.EDGE, "sqlite3"),
    "store/packing.py": _row(Layer.EDGE, "msgspec"),
    "smtp/connection.py": _row(Layer.EDGE, "socket"),
    "smtp/resolver.py": _row(Layer.EDGE, "socket"),
    "smtp/tls.py": _row(Layer.EDGE),
    "smtp/tls_session.py": _row(Layer.EDGE),
    "config/document.py": _row(Layer.CHECK, "yaml"),
    "config/": _row(Layer.CHECK),
    "probe.py": _row(Layer.CHECK),
    "report_json.py": _row(Layer.CHECK),
    "alerting.py": _row(Layer.AGENT),
    "agent.py": _row(Layer.AGENT, "apscheduler", "prometheus_client", "socket"),
    "loopback.py": _row(Layer.AGENT),
    "loopback_json.py": _row(Layer.CHECK),
    "loopback_round.py": _row(Layer.AGENT),
    "doctor/verdict.py": _row(Layer.PURE),
    "doctor/": _row(Layer.AGENT),
    "on_request.py": _row(Layer.AGENT),
    "round.py": _row(Layer.AGENT),
    "__main__.py": _row(Layer.FRONT),
    "cli/explain.py": _row(Layer.FRONT, "yaml"),
    "cli/": _row(Layer.FRONT, "socket"),
    "finding_text.py": _row(Layer.FRONT),
    "health.py": _row(Layer.FRONT),
    "render.py": _row(Layer.FRONT),
    "transcript.py": _row(Layer.FRONT),
    "sandbox/": _row(Layer.FRONT, "socket"),
    "web/": _row(Layer.FRONT, "prometheus_client"),
}

RESTRICTED = frozenset(
    {"imapclient", "msal", "msgspec", "opentelemetry", "apscheduler", "yaml", "socket", "sqlite3", "prometheus_client"}
)
"""Libraries that only the rows which name them may import."""

PURE_LIBRARIES = frozenset(
    {"abc", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "email", "enum", "functools"}
    | {"hashlib", "heapq", "hmac", "html", "itertools", "json", "math", "re", "string", "struct", "types", "typing"}
)

SANDBOX_USERS = ("cli/", "sandbox/")
SANDBOX_SHUNS = ("smtpcheck.smtp", "smtpcheck.oauth")
"""Two ends that share one codec share its bugs."""

BANNED_NAMES = frozenset({"utils", "helpers", "common", "base", "manager", "misc"})
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60


def row_of(path: str) -> Row | None:
    """Return the table's row for a path below the package, or None."""
    return TABLE.get(path) or next(
        (row for key, row in TABLE.items() if key.endswith("/") and path.startswith(key)), None
    )


def module_name(path: str) -> str:
    """Return the dotted name of a path below the package."""
    return ".".join(("smtpcheck", *Path(path).with_suffix("").parts)).removesuffix(".__init__")


def sources() -> dict[str, str]:
    """Return the source of each file of the package by its path below it."""
    return {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


@dataclass(frozen=True)
class Import:
    """One imported module, ours by its full name and others by their first part."""

    module: str
    line: int

    @property
    def is_ours(self) -> bool:
        """Return whether it belongs to the package."""
        return self.module.partition(".")[0] == "smtpcheck"


def imports(tree: ast.AST, modules: dict[str, str]) -> Iterator[Import]:
    """Yield what a file imports, wherever in it; `from package import module` names the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [inner if (inner := f"{base}.{alias.name}") in modules else base for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name if name.startswith("smtpcheck") else name.partition(".")[0], node.lineno)


def import_faults(path: str, row: Row, tree: ast.AST, modules: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with a file's imports. `modules` gives each of our modules its path."""
    for imported in imports(tree, modules):
        where = f"{path}:{imported.line} imports {imported.module}"
        if not imported.is_ours:
            if imported.module in RESTRICTED and imported.module not in row.libraries:
                users = ", ".join(key for key, user in TABLE.items() if imported.module in user.libraries)
                yield f"{where}, which only {users} may"
            elif row.layer <= Layer.PURE and imported.module not in PURE_LIBRARIES | row.libraries:
                yield f"{where}, but a pure file takes clock, chance and the world as arguments"
            continue
        target = row_of(modules.get(imported.module, ""))
        if target is not None and target.layer > row.layer:
            yield f"{where}, upward from {row.layer.name.lower()} to {target.layer.name.lower()}"
        if imported.module.startswith("smtpcheck.sandbox") and not path.startswith(SANDBOX_USERS):
            yield f"{where}, which only the command line and tests may"
        if path.startswith("sandbox/") and imported.module.startswith(SANDBOX_SHUNS):
            yield f"{where}, the other end of its own conversation"


def call_faults(path: str, row: Row, tree: ast.AST) -> Iterator[str]:
    """Yield calls that do not belong where they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names):
            yield f"{path}:{node.lineno} imports time.sleep"
        if not isinstance(node, ast.Attribute):
            continue
        if node.attr == "reveal" and not row.reveals:
            yield f"{path}:{node.lineno} reveals a secret"
        if node.attr == "sleep" and isinstance(node.value, ast.Name) and node.value.id == "time":
            yield f"{path}:{node.lineno} calls time.sleep"
        if (
            node.attr in {"now", "utcnow", "today"}
            and row.layer <= Layer.PURE
            and ast.unparse(node.value)
            in {
                "datetime",
                "date",
                "datetime.datetime",
                "datetime.date",
            }
        ):
            yield f"{path}:{node.lineno} reads the clock in a pure file"


def form_faults(path: str, source: str, tree: ast.Module) -> Iterator[str]:
    """Yield what is too long, badly named or without a word on its purpose."""
    if (lines := len(source.splitlines())) > MAX_FILE_LINES:
        yield f"{path} has {lines} lines, more than {MAX_FILE_LINES}"
    if BANNED_NAMES & set(Path(path).with_suffix("").parts):
        yield f"{path} has a name that says nothing of its purpose"
    if not ast.get_docstring(tree):
        yield f"{path} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno} {node.name} has {length} lines, more than {MAX_FUNCTION_LINES}"


def faults(path: str, source: str, modules: dict[str, str]) -> list[str]:
    """Return everything that is wrong with one file."""
    row = row_of(path)
    if row is None:
        return [f"{path} has no layer: add a row for it to TABLE in tests/test_architecture.py"]
    tree = ast.parse(source)
    return [
        *form_faults(path, source, tree),
        *import_faults(path, row, tree, modules),
        *call_faults(path, row, tree),
    ]


SOURCES = sources()
MODULES = {module_name(path): path for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES)
def test_a_file_keeps_the_rules_of_its_layer(path: str) -> None:
    assert faults(path, SOURCES[path], MODULES) == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {imported.module for imported in imports(ast.parse(SOURCES[path]), MODULES)} & set(MODULES) - {name}
        for name, path in MODULES.items()
    }
    while leaves := [name for name, needs in graph.items() if not needs & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


LONG = "\n".join(["def long():", *["    pass"] * 60])


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("news.py", "", "news.py has no layer: add a row for it to TABLE in tests/test_architecture.py"),
        ("cutoff.py", "import time", "but a pure file takes clock, chance and the world as arguments"),
        ("cutoff.py", "from datetime import datetime\ndatetime.now()", "reads the clock in a pure file"),
        ("model.py", "from smtpcheck import judge", "upward from vocabulary to pure"),
        ("smtp/reply.py", "import smtpcheck.config", "upward from pure to check"),
        ("probe.py", "def late():\n    import msal", "imports msal, which only oauth/ may"),
        ("gate.py", "from yaml import load", "imports yaml, which only diagnosis/catalogue.py, config/document.py"),
        ("web/app.py", "from smtpcheck.sandbox import issuer", "which only the command line and tests may"),
        ("sandbox/issuer.py", "from smtpcheck.oauth import claims", "the other end of its own conversation"),
        ("gate.py", "import time\ntime.sleep(1)", "calls time.sleep"),
        ("gate.py", "from time import sleep", "imports time.sleep"),
        ("probe.py", "token.reveal()", "reveals a secret"),
        ("web/utils.py", "", "has a name that says nothing of its purpose"),
        ("gate.py", "import os", "has no docstring"),
        ("gate.py", "\n" * 501, "has 501 lines, more than 500"),
        ("gate.py", LONG, "long has 61 lines, more than 60"),
    ],
)
def test_a_broken_rule_is_seen(path: str, source: str, fault: str) -> None:
    assert [found for found in faults(path, source, MODULES) if fault in found] != []
