"""The list of checks: rows, filter, order, pages.

Rules of this file:
- Pure over what the agent holds, of which it reads one value after the other: another thread may change it meanwhile.
- All of it works by query parameters alone, so that a browser without script can use it.
- Fifty thousand checks stay quick: filter and order look at the few fields that they need, and no more is sorted than
  is shown.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self
from urllib.parse import urlencode

from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Report
from smtpcheck.state.check_state import CheckState
from smtpcheck.state.history import Run
from smtpcheck.web.agent_view import AgentView
from smtpcheck.web.side_by_side import groups_of

PER_PAGE = 100
MOST_PER_PAGE = 1000
MOST_SUGGESTIONS = 200
"""How many labels are offered for the filter."""
WAITING = "waiting"
"""The state of a check that has not run yet; an answer to the filter beside the outcomes."""

_BADNESS = {"critical": 0, "unknown": 1, "warning": 2, WAITING: 3, "ok": 4}


@dataclass(frozen=True, slots=True)
class Query:
    """What a list was asked for: the query parameters of `/` and `/api/v1/checks`."""

    text: str = ""
    outcome: str = ""
    cause: str = ""
    label: str = ""
    sort: str = ""
    """A column's id; with a leading `-` in descending order."""
    page: int = 1
    per_page: int = PER_PAGE
    refresh: bool = True

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Return the query that the parameters mean; what is no sense counts as not given."""
        sort = query.get("sort", "")
        return cls(
            text=query.get("q", "").strip()[:200],
            outcome=_one_of(query.get("outcome", ""), _BADNESS),
            cause=query.get("cause", "")[:100],
            label=query.get("label", "").strip()[:200],
            sort=sort if sort.removeprefix("-") in _KEYS else "",
            page=_number(query.get("page"), 1, 1_000_000),
            per_page=_number(query.get("per_page"), PER_PAGE, MOST_PER_PAGE),
            refresh=query.get("refresh") != "off",
        )

    def link(self, **changes: object) -> str:
        """Return the query string of this query with some fields changed, led by `?`; defaults are omitted."""
        other = replace(self, **changes)  # type: ignore[arg-type]
        fields: dict[str, object] = {
            "q": other.text,
            "outcome": other.outcome,
            "cause": other.cause,
            "label": other.label,
            "sort": other.sort,
            "page": other.page if other.page > 1 else "",
            "per_page": other.per_page if other.per_page != PER_PAGE else "",
            "refresh": "" if other.refresh else "off",
        }
        return "?" + urlencode({key: value for key, value in fields.items() if value})

    @property
    def filtered(self) -> bool:
        """Return whether any filter is set."""
        return bool(self.text or self.outcome or self.cause or self.label)


class _Known(NamedTuple):
    """What the rows of one list have in common."""

    agent: AgentView
    credentials: Mapping[str, CredentialState]
    silenced: Collection[str]
    """The names of the checks of which nobody is notified at present."""


class Row(NamedTuple):
    """One check as the list shows it; times in Unix seconds, None where nothing is known.

    What it shows is worked out when it is asked for.
    """

    check: Check
    state: CheckState | None
    """None before the first run."""
    known: _Known

    @property
    def report(self) -> Report | None:
        """Return the last one."""
        return self.state.report if self.state else None

    @property
    def status(self) -> str:
        """Return the outcome of the last run, or `waiting`."""
        return self.state.report.outcome if self.state else WAITING

    @property
    def causes(self) -> tuple[str, ...]:
        """Return the cause of a failure, or the causes of the warnings."""
        return _causes(self.report) if self.report else ()

    @property
    def since(self) -> float | None:
        """Return since when the outcome is what it is."""
        return self.state.since if self.state else None

    @property
    def recent(self) -> tuple[Run, ...]:
        """Return the last runs, oldest first."""
        return self.state.history() if self.state else ()

    @property
    def last_run(self) -> float | None:
        """Return when the last run began."""
        return self.report.started_at if self.report else None

    @property
    def next_run(self) -> float | None:
        """Return when the check will run next."""
        return self.known.agent.next_run(self.check.name)

    @property
    def backoff_until(self) -> float | None:
        """Return until when the check waits because the server refused it; None while it does not."""
        return self.state.breaker.until if self.state else None

    @property
    def silenced(self) -> bool:
        """Return whether nobody is notified of it at present."""
        return self.check.name in self.known.silenced

    @property
    def seconds(self) -> float | None:
        """Return how long the last run took."""
        return self.report.seconds if self.report else None

    @property
    def token_expires(self) -> float | None:
        """Return when the access token of the last run expires."""
        return self.report.token.expires_at if self.report and self.report.token else None

    @property
    def secret_expires(self) -> float | None:
        """Return when the first of the credential's secret, certificate and refresh token expires."""
        credential = self.known.credentials.get(self.check.credential) if self.check.credential else None
        return secret_expires(credential) if credential else None

    @property
    def certificate_expires(self) -> float | None:
        """Return when the server's certificate expires."""
        certificate = self.report.tls.certificate if self.report and self.report.tls else None
        return certificate.not_after if certificate else None


def secret_expires(credential: CredentialState) -> float | None:
    """Return when the first of a credential's secret, client certificate and refresh token expires (Unix seconds)."""
    ends = (
        credential.client_secret_expires_at,
        credential.client_certificate_expires_at,
        credential.refresh_token_expires_at,
    )
    return min((end for end in ends if end is not None), default=None)


def next_expiry(credentials: Iterable[CredentialState]) -> tuple[str, float] | None:
    """Return what of the credentials expires first, in words, and when (Unix seconds); None where nothing is known."""
    known = [(expires, each.name) for each in credentials if (expires := secret_expires(each)) is not None]
    return (f"credential {min(known)[1]}", min(known)[0]) if known else None


@dataclass(frozen=True, slots=True)
class Table:
    """What a query brought."""

    query: Query
    rows: tuple[Row, ...]
    """Those of the page that was asked for."""
    total: int
    """How many checks there are."""
    found: int
    """How many the filter lets through."""
    pages: int
    counts: Mapping[str, int]
    """How many checks there are of each status, whatever the filter."""
    causes: tuple[str, ...]
    """The causes that occur now, for the filter."""
    labels: tuple[str, ...]
    """Labels as `name=value`, for the filter; not more than are useful."""

    @property
    def first(self) -> int:
        """Return the number of the page's first row among those found, from 1; 0 for none."""
        return (self.query.page - 1) * self.query.per_page + 1 if self.rows else 0

    @property
    def groups(self) -> tuple[tuple[Row, ...], ...]:
        """Return the page's rows, those of checks that go to one mailbox in several ways together."""
        return groups_of(self.rows)

    @property
    def last(self) -> int:
        """Return the number of the page's last row among those found."""
        return max(0, self.first + len(self.rows) - 1)


class Rows:
    """The rows of some checks at one moment, by number; they are thousands, so that each is made when it is asked for.

    It may be made and used in a thread.
    """

    def __init__(self, agent: AgentView, checks: Sequence[Check], credentials: Iterable[CredentialState]) -> None:
        self.checks = checks
        self.states: list[CheckState | None] = list(map(agent.state.checks.get, [check.name for check in checks]))
        self.statuses: list[str] = [state.report.outcome if state else WAITING for state in self.states]
        self.with_cause: list[int] = [
            number
            for number, state in enumerate(self.states)
            if state is not None and (state.report.cause is not None or state.report.warnings)
        ]
        """The numbers of the rows that have a cause, of a failure or of a warning."""
        credential_by_name = {state.name: state for state in credentials}
        self.silenced = agent.alerting.silences.silenced()
        self._known = _Known(agent, credential_by_name, self.silenced)

    def __getitem__(self, number: int) -> Row:
        return Row(self.checks[number], self.states[number], self._known)

    def __len__(self) -> int:
        return len(self.checks)


def read(rows: Rows, query: Query) -> Table:
    """Return the page that `query` asks for of all checks, in its order."""
    found = _found(rows, query)
    pages = max(1, -(-len(found) // query.per_page))
    query = replace(query, page=min(query.page, pages))
    return Table(
        query=query,
        rows=tuple(_shown(rows, found, query)),
        total=len(rows),
        found=len(found),
        pages=pages,
        counts={status: count for status in _BADNESS if (count := rows.statuses.count(status))},
        causes=tuple(sorted({cause for number in rows.with_cause for cause in rows[number].causes})),
        labels=_labels(rows.checks),
    )


def row_of(agent: AgentView, check: Check) -> Row:
    """Return the row of one check."""
    return Rows(agent, (check,), agent.credentials())[0]


def rows_beside(agent: AgentView, check: Check) -> tuple[Row, ...]:
    """Return the rows of the checks that go to the mailbox of this one in several ways, its own too; else none."""
    if not check.side_by_side:
        return ()
    beside = [each for each in agent.settings.checks if each.side_by_side == check.side_by_side]
    rows = Rows(agent, beside, agent.credentials())
    return tuple(rows[number] for number in range(len(rows)))


def _causes(report: Report) -> tuple[str, ...]:
    if report.cause:
        return (report.cause.value,)
    return tuple([finding.cause.value for finding in report.warnings]) if report.warnings else ()


_KEYS: Mapping[str, Callable[[Row], float | str | None]] = {
    "outcome": lambda row: _BADNESS[row.status],
    "name": lambda row: row.check.name.casefold(),
    "cause": lambda row: row.causes[0] if row.causes else None,
    "since": lambda row: row.since,
    "last": lambda row: row.last_run,
    "next": lambda row: row.next_run,
    "latency": lambda row: row.seconds,
    "token": lambda row: row.token_expires,
    "secret": lambda row: row.secret_expires,
    "certificate": lambda row: row.certificate_expires,
}


def _found(rows: Rows, query: Query) -> Sequence[int]:
    """Return the numbers of the rows that the filter lets through."""
    found: Sequence[int] = range(len(rows))
    if query.outcome:
        found = [number for number in found if rows.statuses[number] == query.outcome]
    if query.cause:
        found = [number for number in found if query.cause in rows[number].causes]
    if query.label:
        found = [number for number in found if _has_label(rows.checks[number], query.label)]
    if query.text:
        found = _with_text(rows, found, query.text.casefold())
    return found


def _shown(rows: Rows, found: Sequence[int], query: Query) -> Sequence[Row]:
    """Return the rows of the page; those that are side by side are together."""
    end = query.page * query.per_page
    shown = slice(end - query.per_page, end)
    if any(rows.checks[number].side_by_side for number in found):
        ordered = [rows[number] for number in _sorted(rows, found, query.sort, len(found))]
        return [row for group in groups_of(ordered) for row in group][shown]
    return [rows[number] for number in _sorted(rows, found, query.sort, end)[shown]]


def _sorted(rows: Rows, found: Sequence[int], sort: str, most: int) -> Sequence[int]:
    """Return the first `most` at least by one column, what is not known last; else the worst and newest first."""
    if not sort:
        return _worst_first(rows, found, most)
    key = _KEYS[sort.removeprefix("-")]
    values = {number: key(rows[number]) for number in _worst_first(rows, found, len(found))}
    known = [number for number, value in values.items() if value is not None]
    known.sort(key=values.__getitem__, reverse=sort.startswith("-"))  # type: ignore[arg-type] # none is None
    return known + [number for number, value in values.items() if value is None]


def _worst_first(rows: Rows, found: Iterable[int], most: int) -> Sequence[int]:
    by_status: dict[str, list[int]] = {status: [] for status in _BADNESS}
    for number in found:
        by_status[rows.statuses[number]].append(number)
    ordered: list[int] = []
    for alike in by_status.values():
        if len(ordered) < most:
            alike.sort(key=lambda number: rows.checks[number].name.casefold())
            alike.sort(key=lambda number: state.since if (state := rows.states[number]) else 0.0, reverse=True)
            ordered += alike
    return ordered


def _with_text(rows: Rows, found: Iterable[int], text: str) -> Sequence[int]:
    """Return the numbers of the rows that have the text in a name or in a cause."""
    checks, caused = rows.checks, {number for number in rows.with_cause if text in "\n".join(rows[number].causes)}
    return [
        number
        for number in found
        if text in f"{(it := checks[number]).name}\n{it.mailbox}\n{it.server.host}\n{it.credential or ''}".casefold()
        or number in caused
    ]


def _has_label(check: Check, label: str) -> bool:
    """Return whether the check has the label: `name=value`, or a bare `name` with any value."""
    name, equals, value = label.partition("=")
    return any(name == key and (not equals or value == text) for key, text in check.labels)


def _labels(checks: Iterable[Check]) -> tuple[str, ...]:
    pairs = {pair for check in checks for pair in check.labels}
    return tuple(f"{name}={value}" for name, value in sorted(pairs)[:MOST_SUGGESTIONS])


def _one_of(text: str, allowed: Mapping[str, int]) -> str:
    return text if text in allowed else ""


def _number(text: str | None, default: int, most: int) -> int:
    """Return a number from 1 to `most`; what is none counts as not given."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return default
    return min(max(int(text), 1), most)
