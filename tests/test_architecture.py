"""The shape of the package: which room may import which, read off the source by `ast`.

Rules of this file:
- A room is a folder below `smtpcheck/`; `ROOMS` is the whole table of who may import whom, from the bottom up.
- What holds for single files (pure ones, those that may reveal a secret) is listed file by file.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smtpcheck"

ROOMS: dict[str, frozenset[str]] = {
    room: frozenset(imports.split())
    for room, imports in {
        "model": "",
        "limits": "model",
        "mail": "model",
        "secrets": "",
        "network": "model",
        "http_client": "model secrets network",
        "smtp": "model secrets mail network",
        "mail_api": "model secrets mail http_client network",
        "oauth": "model secrets http_client",
        "inspection": "model secrets http_client oauth",
        "diagnosis": "model mail",
        "loopback": "model secrets limits mail http_client network smtp oauth",
        "alerts": "model secrets http_client diagnosis",
        "state": "model limits mail loopback alerts",
        "config": "model secrets limits oauth mail_api inspection loopback alerts",
        "check": "model secrets limits mail network smtp mail_api oauth loopback diagnosis config",
        "output": "model secrets mail http_client diagnosis loopback state config",
    }.items()
}
"""The rooms that measure, judge, keep and render, and what each may import beside itself and `log`."""
_BELOW = frozenset(ROOMS)
ROOMS |= {
    "agent": _BELOW,
    "setup": frozenset({"model", "oauth", "loopback", "mail_api", "inspection", "config"}),
    "web": _BELOW | {"agent"},
    "sandbox": frozenset({"model"}),
    "cli": _BELOW | {"agent", "setup", "web", "sandbox"},
}
"""Above those: what runs, serves and commands. The sandbox is the other end of every conversation, so it shares no
codec with the rooms that speak to it."""

LOOSE_FILES = {"__init__.py": "", "__main__.py": "cli", "log.py": "secrets", "health.py": "", "system.py": ""}
"""The files outside any room, and the room that each may import."""

PURE_ROOMS = ("model/", "mail/")
PURE_FILES = frozenset(
    {
        "agent/schedule.py",
        "alerts/alert_state.py",
        "alerts/grouping.py",
        "alerts/maintenance.py",
        "alerts/notification.py",
        "alerts/notification_log.py",
        "alerts/problems.py",
        "alerts/silence.py",
        "alerts/thresholds.py",
        "check/connectivity.py",
        "check/outcome.py",
        "cli/doctor/result.py",
        "diagnosis/events.py",
        "diagnosis/explain.py",
        "diagnosis/facts.py",
        "diagnosis/drift.py",
        "diagnosis/inspected/causes.py",
        "diagnosis/inspected/defects.py",
        "diagnosis/inspected/entra.py",
        "diagnosis/inspected/exchange.py",
        "diagnosis/inspected/google.py",
        "diagnosis/inspected/mailbox.py",
        "diagnosis/inspected/view.py",
        "diagnosis/inspection_status.py",
        "diagnosis/masking.py",
        "diagnosis/matching.py",
        "diagnosis/observation.py",
        "diagnosis/phase.py",
        "diagnosis/reading.py",
        "diagnosis/screening.py",
        "diagnosis/unknown.py",
        "inspection/members.py",
        "limits/send_limits.py",
        "loopback/bounce_outcome.py",
        "loopback/finder.py",
        "loopback/graph/limits.py",
        "loopback/imap/folders.py",
        "loopback/message_state.py",
        "loopback/plan.py",
        "loopback/returned.py",
        "loopback/status.py",
        "loopback/timeline.py",
        "loopback/timing.py",
        "mail_api/answer.py",
        "mail_api/api.py",
        "mail_api/apis.py",
        "mail_api/gmail.py",
        "mail_api/described.py",
        "mail_api/graph.py",
        "mail_api/template.py",
        "oauth/claims.py",
        "output/log_fields.py",
        "output/metrics/check.py",
        "output/metrics/families.py",
        "output/metrics/loopback.py",
        "output/metrics/shard.py",
        "output/tracing/spans.py",
        "smtp/dialogue.py",
        "smtp/reply.py",
        "smtp/sasl.py",
        "state/availability.py",
        "state/check_state.py",
        "state/history.py",
        "state/outage.py",
        "web/drawing.py",
        "web/history_drawing.py",
    }
)
"""Neither input nor output, neither clock nor chance: those enter as arguments."""
PURE_LIBRARIES = frozenset(
    {"abc", "base64", "binascii", "bisect", "collections", "dataclasses", "datetime", "email", "enum", "functools"}
    | {"hashlib", "heapq", "hmac", "html", "itertools", "json", "math", "re", "string", "struct", "types", "typing"}
)
PURE_EXCEPTIONS = {
    "alerts/notification.py": frozenset({"urllib"}),
    "alerts/silence.py": frozenset({"fnmatch"}),
    "mail_api/gmail.py": frozenset({"urllib"}),
    "mail_api/graph.py": frozenset({"urllib"}),
    "mail_api/template.py": frozenset({"urllib"}),
}
"""`urllib.parse` makes the links of an alert and the paths of an API; `fnmatch` matches names as a shell does."""

REVEALERS = frozenset(
    {
        "alerts/notifiers/alertmanager.py",
        "alerts/notifiers/apprise.py",
        "alerts/notifiers/heartbeat.py",
        "alerts/notifiers/http.py",
        "alerts/notifiers/jira_service_management.py",
        "alerts/notifiers/pagerduty.py",
        "alerts/notifiers/service.py",
        "alerts/notifiers/webhook.py",
        "inspection/reader.py",
        "loopback/graph/client.py",
        "mail_api/acs.py",
        "mail_api/api.py",
        "mail_api/key_placement.py",
        "mail_api/ses.py",
        "oauth/api_key.py",
        "oauth/certificate.py",
        "oauth/claims.py",
        "oauth/entra.py",
        "oauth/entra_user.py",
        "oauth/oauth2_flow.py",
        "oauth/password.py",
        "oauth/registration.py",
        "oauth/secret_expiry.py",
        "oauth/secret_hint.py",
        "oauth/static_token.py",
        "oauth/token_store.py",
        "oauth/token_url.py",
        "output/tracing/otlp.py",
        "smtp/sasl.py",
    }
)
"""Where a secret leaves for its own destination."""

LIBRARY_USERS = {
    "aiohttp": ("http_client/", "web/", "sandbox/"),
    "apprise": ("alerts/notifiers/apprise.py",),
    "apscheduler": ("agent/",),
    "h11": ("http_client/connection.py",),
    "botocore": ("mail_api/ses.py",),
    "imapclient": ("loopback/imap/client.py",),
    "msal": ("oauth/",),
    "msgspec": ("state/serialization.py",),
    "opentelemetry": ("output/tracing/otlp.py",),
    "prometheus_client": ("output/metrics/", "web/", "agent/"),
    "requests": ("http_client/", "output/tracing/otlp.py"),
    "socket": (
        *("network/connecting.py", "network/resolver.py", "loopback/imap/stream.py"),
        *("http_client/", "agent/", "cli/", "sandbox/"),
    ),
    "sqlite3": ("state/",),
    "urllib3": ("http_client/",),
    "yaml": (
        *("config/yaml_reader.py", "cli/explain.py", "mail_api/shipped.py"),
        *("diagnosis/catalogue.py", "diagnosis/evidence.py", "diagnosis/quoted.py"),
    ),
}
"""Libraries that only these files and rooms may import."""
STRUCT_NAMES = frozenset({"Struct", "field", "structs"})
"""What every file may import of `msgspec`, pure ones too: what makes frozen values, as `dataclasses` does."""

METRIC_NAME_ROOMS = ("output/", "agent/", "web/", "cli/")
"""No other room knows what a metric is called."""
MUTABLE_DATACLASS_ROOMS = ("agent/", "sandbox/")
"""Everywhere else a dataclass is frozen."""

BANNED_NAMES = frozenset({"utils", "util", "helpers", "common", "base", "manager", "misc"})
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60


def room_of(path: str) -> str:
    """Return the room of a path below the package, empty for a loose file."""
    return path.partition("/")[0] if "/" in path else ""


def is_pure(path: str) -> bool:
    """Return whether the file may know neither world, clock nor chance."""
    return path in PURE_FILES or path.startswith(PURE_ROOMS)


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
            if node.module == "msgspec" and STRUCT_NAMES.issuperset(alias.name for alias in node.names):
                continue
            base = "." * node.level + (node.module or "")
            names = [inner if (inner := f"{base}.{alias.name}") in modules else base for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name if name.startswith("smtpcheck") else name.partition(".")[0], node.lineno)


def import_faults(path: str, tree: ast.AST, modules: dict[str, str]) -> Iterator[str]:
    """Yield what is wrong with a file's imports. `modules` gives each of our modules its path."""
    for imported in imports(tree, modules):
        where = f"{path}:{imported.line} imports {imported.module}"
        if imported.is_ours:
            if not may_import(path, imported.module):
                yield f"{where}, which {room_of(path) or path} may not"
            continue
        users = LIBRARY_USERS.get(imported.module)
        if users is not None and not path.startswith(users):
            yield f"{where}, which only {', '.join(users)} may"
        allowed = PURE_LIBRARIES | PURE_EXCEPTIONS.get(path, frozenset())
        if is_pure(path) and imported.module not in allowed:
            yield f"{where}, but a pure file takes clock, chance and the world as arguments"


def may_import(path: str, module: str) -> bool:
    """Return whether the file may import this module of ours."""
    target = module.removeprefix("smtpcheck").removeprefix(".").partition(".")[0]
    if target in {"", "log"} or (target == "system" and not is_pure(path)):  # the version, the log, clocks and chance
        return True
    room = room_of(path)
    return target == LOOSE_FILES.get(path) if not room else target == room or target in ROOMS[room]


def call_faults(path: str, tree: ast.AST) -> Iterator[str]:
    """Yield calls that do not belong where they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names):
            yield f"{path}:{node.lineno} imports time.sleep"
        if not isinstance(node, ast.Attribute):
            continue
        if node.attr == "reveal" and path not in REVEALERS:
            yield f"{path}:{node.lineno} reveals a secret"
        if node.attr == "sleep" and isinstance(node.value, ast.Name) and node.value.id == "time":
            yield f"{path}:{node.lineno} calls time.sleep"
        reads_clock = node.attr in {"now", "utcnow", "today"} and ast.unparse(node.value).rpartition(".")[2] in {
            "datetime",
            "date",
        }
        if reads_clock and is_pure(path):
            yield f"{path}:{node.lineno} reads the clock in a pure file"


def value_faults(path: str, tree: ast.AST) -> Iterator[str]:
    """Yield names of metrics below the rooms that render, and dataclasses and Structs that can be mutated."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if text.startswith("smtpcheck_") and not path.startswith(METRIC_NAME_ROOMS):
            yield f"{path}:{getattr(node, 'lineno', 0)} names the metric {text}"
        if isinstance(node, ast.ClassDef) and not path.startswith(MUTABLE_DATACLASS_ROOMS):
            makers = [ast.unparse(each) for each in node.decorator_list if ast.unparse(each).startswith("dataclass")]
            if any(ast.unparse(base) == "Struct" for base in node.bases):
                makers.append(" ".join(ast.unparse(each) for each in node.keywords))
            if any("frozen=True" not in each for each in makers):
                yield f"{path}:{node.lineno} {node.name} can be mutated"


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
    if room_of(path) not in ROOMS and path not in LOOSE_FILES:
        return [f"{path} is in no room: add one to ROOMS in tests/test_architecture.py"]
    tree = ast.parse(source)
    return [
        *form_faults(path, source, tree),
        *import_faults(path, tree, modules),
        *call_faults(path, tree),
        *value_faults(path, tree),
    ]


SOURCES = sources()
MODULES = {module_name(path): path for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES)
def test_a_file_keeps_the_rules_of_its_room(path: str) -> None:
    assert faults(path, SOURCES[path], MODULES) == []


def test_the_lists_name_files_that_exist() -> None:
    assert (PURE_FILES | REVEALERS | PURE_EXCEPTIONS.keys() | LOOSE_FILES.keys()) - SOURCES.keys() == set()
    assert [path for path in REVEALERS if ".reveal" not in SOURCES[path]] == []


def test_no_room_imports_upward() -> None:
    """Taking away rooms that need no other one, again and again, leaves none."""
    left = dict(ROOMS)
    while free := [room for room, needs in left.items() if not needs & left.keys()]:
        for room in free:
            del left[room]
    assert left == {}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {imported.module for imported in imports(ast.parse(SOURCES[path]), MODULES)} & set(MODULES) - {name}
        for name, path in MODULES.items()
    }
    while leaves := [name for name, needs in graph.items() if not needs & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


LATE_LIBRARIES = frozenset({"apprise", "botocore", "google.auth", "imapclient", "msal", "opentelemetry", "trustme"})
"""What a configuration may not need is imported where it is first used."""


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("smtpcheck.cli", LATE_LIBRARIES | {"aiohttp", "apscheduler", "pydantic", "requests", "yaml"}),
        ("smtpcheck.agent.agent, smtpcheck.web", LATE_LIBRARIES),
    ],
)
def test_no_library_is_loaded_before_it_is_needed(modules: str, absent: frozenset[str]) -> None:
    program = f"import sys, {modules}; print(*sorted({set(absent)!r} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert run.stdout == "\n"


LONG = "\n".join(["def long():", *["    pass"] * 60])


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("news.py", "", "news.py is in no room: add one to ROOMS in tests/test_architecture.py"),
        ("news/feed.py", "", "news/feed.py is in no room"),
        ("check/outcome.py", "import time", "but a pure file takes clock, chance and the world as arguments"),
        ("model/check.py", "import urllib", "but a pure file takes clock, chance and the world as arguments"),
        ("check/outcome.py", "from datetime import datetime\ndatetime.now()", "reads the clock in a pure file"),
        ("model/check.py", "from smtpcheck.check import outcome", "imports smtpcheck.check.outcome, which model may"),
        ("smtp/reply.py", "import smtpcheck.config", "which smtp may not"),
        ("health.py", "import smtpcheck.web", "which health.py may not"),
        ("agent/agent.py", "import smtpcheck.web", "which agent may not"),
        ("check/probe.py", "def late():\n    import msal", "imports msal, which only oauth/ may"),
        ("limits/send_limits.py", "from yaml import load", "imports yaml, which only config/yaml_reader.py"),
        ("web/app.py", "from smtpcheck.sandbox import issuer", "which web may not"),
        ("sandbox/issuer.py", "from smtpcheck.oauth import claims", "which sandbox may not"),
        ("limits/mailbox_lock.py", "import time\ntime.sleep(1)", "calls time.sleep"),
        ("limits/mailbox_lock.py", "from time import sleep", "imports time.sleep"),
        ("check/probe.py", "token.reveal()", "reveals a secret"),
        ("check/probe.py", "NAME = 'smtpcheck_success'", "names the metric smtpcheck_success"),
        ("config/models.py", "@dataclass(slots=True)\nclass Settings: ...", "Settings can be mutated"),
        ("config/models.py", "class Settings(Struct, gc=False): ...", "Settings can be mutated"),
        (
            "model/report.py",
            "from msgspec import Struct, json",
            "imports msgspec, which only state/seriali",
        ),
        ("web/utils.py", "", "has a name that says nothing of its purpose"),
        ("check/kit.py", "import os", "has no docstring"),
        ("check/kit.py", "\n" * 501, "has 501 lines, more than 500"),
        ("check/kit.py", LONG, "long has 61 lines, more than 60"),
    ],
)
def test_a_broken_rule_is_seen(path: str, source: str, fault: str) -> None:
    assert [found for found in faults(path, source, MODULES) if fault in found] != []
