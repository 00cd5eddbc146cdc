"""The list of checks: rows, filter, order, pages.

Rules of this file:
- Pure over what the agent holds, of which it reads one value after the other: another thread may change it meanwhile.
- All of it works by query parameters alone, so that a browser without script can use
  it.
- Ten thousand checks stay quick: filter and order look at the few fields they need; only the rows of the page that is
  shown are made whole.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from smtpcheck.model.check import Check
from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import Report
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


@dataclass(frozen=True, slots=True)
class Row:
    """One check as the list shows it; times in Unix seconds, None where nothing is known."""

    check: Check
    report: Report | None
    """The last one."""
    next_run: float | None
    backoff_until: float | None
    """While the check waits because the server refused it: until when."""
    credential: CredentialState | None
    silenced: bool = False
    """Whether nobody is notified of it at present."""
    since: float | None = None
    """Since when the outcome is what it is."""
    recent: tuple[Run, ...] = ()
    """The last runs, oldest first; only of the rows of the page that was asked for."""

    @property
    def status(self) -> str:
        """Return the outcome of the last run, or `waiting`."""
        return self.report.outcome.value if self.report else WAITING

    @property
    def causes(self) -> tuple[str, ...]:
        """Return the cause of a failure, or the causes of the warnings."""
        if self.report is None:
            return ()
        if self.report.cause:
            return (self.report.cause.value,)
        return tuple(finding.cause.value for finding in self.report.warnings)

    @property
    def last_run(self) -> float | None:
        """Return when the last run began."""
        return self.report.started_at if self.report else None

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
        return secret_expires(self.credential) if self.credential else None

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


def read(agent: AgentView, query: Query, credentials: Iterable[CredentialState]) -> Table:
    """Return the page of checks that `query` asks for, in its order.

    It may be called in a thread, and takes a tenth of a second for ten thousand checks.
    """
    known = {state.name: state for state in credentials}
    silenced = agent.alerting.silences.silenced()
    rows = [_row(agent, check, known, silenced) for check in agent.settings.checks]
    found = _ordered([row for row in rows if not query.filtered or _matches(query, row)], query.sort)
    pages = max(1, -(-len(found) // query.per_page))
    found = [row for group in groups_of(found) for row in group]
    query = replace(query, page=min(query.page, pages))
    begin = (query.page - 1) * query.per_page
    return Table(
        query=query,
        rows=tuple(_with_runs(agent, row) for row in found[begin : begin + query.per_page]),
        total=len(rows),
        found=len(found),
        pages=pages,
        counts=Counter(row.status for row in rows),
        causes=tuple(sorted({cause for row in rows for cause in row.causes})),
        labels=_labels(rows),
    )


def row_of(agent: AgentView, check: Check) -> Row:
    """Return the row of one check."""
    return _rows(agent, [check])[0]


def rows_beside(agent: AgentView, check: Check) -> tuple[Row, ...]:
    """Return the rows of the checks that go to the mailbox of this one in several ways, its own too; else none."""
    group = check.side_by_side
    return _rows(agent, [each for each in agent.settings.checks if group and each.side_by_side == group])


def _rows(agent: AgentView, checks: Iterable[Check]) -> tuple[Row, ...]:
    known = {state.name: state for state in agent.credentials()}
    silenced = agent.alerting.silences.silenced()
    return tuple(_row(agent, check, known, silenced) for check in checks)


def _row(agent: AgentView, check: Check, credentials: Mapping[str, CredentialState], silenced: Collection[str]) -> Row:
    state = agent.state.checks.get(check.name)
    credential = credentials.get(check.credential) if check.credential else None
    return Row(
        check=check,
        report=state.report if state else None,
        next_run=agent.next_run(check.name),
        backoff_until=state.breaker.until if state else None,
        credential=credential,
        silenced=check.name in silenced,
        since=state.since if state else None,
    )


def _with_runs(agent: AgentView, row: Row) -> Row:
    state = agent.state.checks.get(row.check.name)
    return replace(row, recent=state.history()) if state else row


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


def _ordered(rows: list[Row], sort: str) -> list[Row]:
    """Return the rows by one column, what is not known last in either direction; else the worst and newest first."""
    rows.sort(key=lambda row: (_BADNESS[row.status], -(row.since or 0.0), row.check.name.casefold()))
    if not sort:
        return rows
    key = _KEYS[sort.removeprefix("-")]
    keyed = [(key(row), row) for row in rows]
    known = [(value, row) for value, row in keyed if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [row for _, row in known] + [row for value, row in keyed if value is None]


def _matches(query: Query, row: Row) -> bool:
    if query.outcome and row.status != query.outcome:
        return False
    if query.cause and query.cause not in row.causes:
        return False
    if query.label and not _has_label(row.check, query.label):
        return False
    return not query.text or query.text.casefold() in _searched(row)


def _searched(row: Row) -> str:
    check = row.check
    parts = (check.name, check.mailbox, check.server.host, check.credential or "", *row.causes)
    return "\n".join(parts).casefold()


def _has_label(check: Check, label: str) -> bool:
    """Return whether the check has the label: `name=value`, or a bare `name` with any value."""
    name, equals, value = label.partition("=")
    return any(name == key and (not equals or value == text) for key, text in check.labels)


def _labels(rows: list[Row]) -> tuple[str, ...]:
    pairs = {pair for row in rows for pair in row.check.labels}
    return tuple(f"{name}={value}" for name, value in sorted(pairs)[:MOST_SUGGESTIONS])


def _one_of(text: str, allowed: Mapping[str, int]) -> str:
    return text if text in allowed else ""


def _number(text: str | None, default: int, most: int) -> int:
    """Return a number from 1 to `most`; what is none counts as not given."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return default
    return min(max(int(text), 1), most)
