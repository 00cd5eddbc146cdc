"""What the receiver authenticated: its run of Authentication-Results fields (RFC 8601), read from the top.

Rules of this file:
- Pure, and the fields are untrusted input: anybody can write such a field (RFC 8601 5, 7.1). Only those of the server
  that is believed count, and of those only the run that begins with its topmost one.
- The run ends at the next Received, for what is below that existed before the message came. A Received by which the
  receiver took the message from itself (a filter gives it back) does not end it; fields below such a one only add the
  methods that those above do not name, because everybody can write a Received too.
- Of several DKIM signatures one that passes counts. SPF and DMARC are what the topmost field says; another result
  further down is a contradiction, which is named and never makes a pass of it.
- Exchange Online writes the field without the name of the server, which RFC 8601 2.2 does not allow; the empty name
  believes such a field.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

METHODS = ("spf", "dkim", "dmarc")
RESULTS = ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")
"""RFC 8601 2.7; servers write others too, such as `bestguesspass`."""

_MAX_VALUE = 4000
_MAX_IN_RUN = 10
_MAX_READ = 20
"""Fields of any server: those of others may be above the believed one's, but not without end."""
_MAX_RESULTS = 50
_MAX_DETAIL = 200
_RESULT = re.compile(
    r"\s{0,40}([A-Za-z0-9-]{1,40})\s{0,40}(?:/\s{0,40}[0-9]{1,9}\s{0,40})?=\s{0,40}([A-Za-z0-9.-]{1,40})"
)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_RECEIVED_SPF = re.compile(r"\s{0,40}([A-Za-z]{3,20})\b")
_BY = re.compile(r"\bby\s{1,40}([^\s;()]{1,200})", re.IGNORECASE)
_FROM = re.compile(r"\s{0,40}from\s{1,40}(\S{1,200})([^;]{0,300})", re.IGNORECASE)
_LOOPBACK = re.compile(r"\blocalhost\b|\b127\.0\.0\.1\b|\[(?:IPv6:)?::1\]", re.IGNORECASE)

Fields = Sequence[tuple[str, str]]
"""Name and unfolded value, topmost first."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one method."""

    method: str
    result: str
    """As the server writes it, in lower case."""
    detail: str = ""
    """What follows it, such as `header.d=example.org` or `reason=001`."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """What one server says of a message."""

    authserv_id: str = ""
    results: tuple[Result, ...] = ()
    """Of each method the one that counts, in the order of the fields."""
    contradictions: tuple[str, ...] = ()
    """Methods of which the server reports several results, in words."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return method and result of each, as the server writes them."""
        return tuple((found.method, found.result) for found in self.results)

    def result(self, method: str) -> str:
        """Return the result of a method; empty if the server does not name it."""
        return next((found.result for found in self.results if found.method == method), "")

    def detail(self, method: str) -> str:
        """Return what follows the result of a method."""
        return next((found.detail for found in self.results if found.method == method), "")


@dataclass(frozen=True, slots=True)
class _Run:
    """The fields of one server that belong together."""

    above: tuple[Result, ...] = ()
    below: tuple[Result, ...] = ()
    """Those below a Received by which the server took the message from itself."""
    received_spf: str = ""
    end: int = 0
    """Behind the last field of the run that nobody but the receiver can have written."""


def read_authentication(fields: Fields, authserv_id: str | None) -> Authentication:
    """Return what the believed server says; None believes no server."""
    if authserv_id is None:
        return Authentication()
    run = _run(fields, authserv_id)
    named = {found.method for found in run.above}
    found = (*run.above, *(result for result in run.below if result.method not in named))
    if run.received_spf and not any(result.method == "spf" for result in found):
        found = (*found, Result("spf", run.received_spf))
    methods = dict.fromkeys(result.method for result in found)
    of = {method: [result for result in found if result.method == method] for method in methods}
    return Authentication(
        authserv_id=authserv_id,
        results=tuple(_counting(results) for results in of.values()),
        contradictions=tuple(_contradiction(results) for results in of.values() if _contradict(results)),
    )


def authserv_ids(fields: Fields) -> tuple[str, ...]:
    """Return the names of the servers that claim to have authenticated the message, topmost first; one may be empty."""
    values = [value for name, value in fields if name.lower() == "authentication-results"]
    return tuple(dict.fromkeys(_parsed(value)[0] for value in values[:_MAX_IN_RUN]))


def receiver_id(fields: Fields) -> str | None:
    """Return the name by which the receiver seems to give its results, None if no field can be its own.

    It is that of the topmost field, if no Received is above it or a server of that domain took the message. It is a
    proposal for whoever knows the receiver, and no reason to believe the field.
    """
    fields = [field for field in fields if field[0].lower() in {"received", "authentication-results"}]
    ids = authserv_ids(fields)
    if not ids:
        return None
    above_all = fields[0][0].lower() == "authentication-results"
    return ids[0] if above_all or any(_is_received_by(field, ids[0]) for field in fields) else None


def receiver_part(fields: Fields, authserv_id: str | None) -> int:
    """Return how many fields from the top nobody but the receiver, and who handed it on, can have written.

    They end with the last Authentication-Results of the believed server, else with its topmost Received.
    """
    if authserv_id is None:
        return 0
    if end := _run(fields, authserv_id).end:
        return end
    return next((at for at, field in enumerate(fields) if _is_received_by(field, authserv_id)), 0)


def without_comments(value: str) -> str:
    """Return a field's value without its comments, which nest (RFC 5322 3.2.2); one without end takes the rest."""
    kept, depth, quoted, escaped = [], 0, False, False
    for sign in value:
        inside = depth > 0
        if escaped:
            escaped = False
        elif sign == "\\":
            escaped = True
        elif sign == '"' and not inside:
            quoted = not quoted
        elif sign == "(" and not quoted:
            depth += 1
        elif sign == ")" and inside:
            depth -= 1
        if not inside and not depth:
            kept.append(sign)
        elif inside and not depth:
            kept.append(" ")
    return _QUOTED.sub("q", "".join(kept))


def _run(fields: Fields, authserv_id: str) -> _Run:
    above: list[Result] = []
    below: list[Result] = []
    spf, above_next, count, end, reinjected, read = "", "", 0, 0, False, 0
    for at, (name, value) in enumerate(fields):
        match name.lower():
            case "authentication-results" if count < _MAX_IN_RUN and read < _MAX_READ:
                read += 1
                server, results = _parsed(value)
                if server.lower() == authserv_id.lower():
                    count += 1
                    (below if reinjected else above).extend(results)
                    end = end if reinjected else at + 1
                    spf = spf or above_next
            case "received-spf":
                above_next = above_next or _received_spf(value)
            case "received" if count and not _is_from_itself(value, authserv_id):
                break
            case "received":
                above_next, reinjected = "", count > 0
            case _:
                pass
    return _Run(tuple(above[:_MAX_RESULTS]), tuple(below[:_MAX_RESULTS]), spf, end)


def _parsed(value: str) -> tuple[str, list[Result]]:
    """Return the server's name, empty if there is none, and the results."""
    first, *rest = without_comments(value[:_MAX_VALUE]).split(";")
    named = _RESULT.match(first) is None
    words = first.split()
    parts = rest if named else [first, *rest]
    found = [(match, part) for part in parts if (match := _RESULT.match(part))]
    results = [
        Result(match[1].lower(), match[2].lower().rstrip("."), " ".join(part[match.end() :].split())[:_MAX_DETAIL])
        for match, part in found
    ]
    return words[0] if named and words else "", results


def _counting(results: list[Result]) -> Result:
    passing = (found for found in results if found.method == "dkim" and found.result == "pass")
    return next(passing, results[0])


def _contradict(results: list[Result]) -> bool:
    return results[0].method in {"spf", "dmarc"} and len({found.result for found in results}) > 1


def _contradiction(results: list[Result]) -> str:
    said = " and ".join(dict.fromkeys(found.result for found in results))
    return f"{results[0].method} is {said} by the same server"


def _received_spf(value: str) -> str:
    found = _RECEIVED_SPF.match(value[:_MAX_VALUE])
    return found[1].lower() if found and found[1].lower() in RESULTS else ""


def _is_from_itself(received: str, authserv_id: str) -> bool:
    """Return whether it is a Received by which the server took the message from itself."""
    source = _FROM.match(received[:_MAX_VALUE])
    return source is not None and _LOOPBACK.search(source[0]) is not None and _is_by(received, authserv_id)


def _is_received_by(field: tuple[str, str], authserv_id: str) -> bool:
    return field[0].lower() == "received" and _is_by(field[1], authserv_id)


def _is_by(received: str, authserv_id: str) -> bool:
    by = _BY.search(without_comments(received[:_MAX_VALUE]))
    return by is not None and same_domain(by[1], authserv_id)


def same_domain(host: str, other: str) -> bool:
    """Return whether two hosts are the same one, or of the same domain by their last two labels."""
    labels, others = (_labels(name) for name in (host, other))
    return labels == others or (len(labels) >= 2 and len(others) >= 2 and labels[-2:] == others[-2:])


def _labels(host: str) -> list[str]:
    return host.lower().rstrip(".").split(".")


def best(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield SPF, DKIM and DMARC, as far as they are named; a result that RFC 8601 does not know is `other`."""
    found = dict(pairs)
    for method in METHODS:
        if method in found:
            yield method, found[method] if found[method] in RESULTS else "other"
