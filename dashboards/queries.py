"""PromQL of the boards: what a query is, and the selectors that the boards' variables make.

Rules of this file:
- A panel shows what the variables select: `job` and `instance` apply everywhere, the others where a board has them.
- Series of one check do not have its provider; they are joined with `smtpcheck_check_info`, which does.
- Alternatives are joined by `either` alone, each on lines of its own, so that a test can ask for each of them.
- Rates take `$__rate_interval`; nothing replaces a missing series.
"""

from dataclasses import dataclass

AGENT = 'job=~"$job", instance=~"$instance"'
"""The series of the chosen agents."""
CHECK = f'{AGENT}, check=~"$check"'
ONE = f'{AGENT}, check="$check"'
"""The series of the one check of a board that has no other."""
PROVIDER = f'{AGENT}, provider=~"$provider"'
CREDENTIAL = f'{AGENT}, credential=~"$credential"'
IDENTITY = "job, instance, check"
"""The labels that name a check."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression of a panel, and the name of its series (labels in double braces)."""

    expression: str
    legend: str = ""


def chosen(expression: str, at: str = "") -> str:
    """Return those of an expression's checks whose provider is chosen, now or `at` another time."""
    return f"{expression} and on ({IDENTITY}) smtpcheck_check_info{{{PROVIDER}}}{at}"


def checks(metric: str) -> str:
    """Return the series of a metric of single checks, for the chosen checks and providers."""
    return chosen(named(metric))


def named(metric: str) -> str:
    """Return the series of a metric of single checks, for the chosen checks of any provider; a rate can be taken."""
    return f"{metric}{{{CHECK}}}"


def one(metric: str) -> str:
    """Return the series of a metric of the one check."""
    return f"{metric}{{{ONE}}}"


def agents(metric: str) -> str:
    """Return the series of a metric of the chosen agents or of their credentials."""
    return f"{metric}{{{AGENT}}}"


def credentials(metric: str) -> str:
    """Return the series of a metric of the chosen credentials."""
    return f"{metric}{{{CREDENTIAL}}}"


def providers(metric: str) -> str:
    """Return the series of a metric by provider, for the chosen ones."""
    return f"{metric}{{{PROVIDER}}}"


def rate(series: str) -> str:
    """Return a counter's increase per second."""
    return f"rate({series}[$__rate_interval])"


def quantile(of: float, buckets: str, *by: str) -> str:
    """Return a quantile (0 to 1) of a histogram's buckets."""
    return f"histogram_quantile({of:g}, sum by ({', '.join(('le', *by))}) ({rate(buckets)}))"


def availability(at: str = "") -> str:
    """Return each check's share of the chosen time in which its last run had reached its depth; unknown does not count.

    With `at` (` @ end()`) it is the same at each point of a graph.
    """
    return chosen(f"avg_over_time(smtpcheck_success{{{CHECK}}}[$__range]{at})", at)


def ends() -> str:
    """Return the days until something expires: of credentials by kind (`what`), of servers' certificates by host."""

    def of_credential(what: str, metric: str) -> str:
        left = f"min by (instance, credential) ({credentials(metric)} - time()) / 86400"
        return f'label_replace({left}, "what", "{what}", "", "")'

    certificate = agents("server:smtpcheck_tls_certificate_expiry_timestamp_seconds:min1h")
    of_server = f"min by (instance, host, port) ({certificate} - time()) / 86400"
    return either(
        of_credential("client secret", "smtpcheck_client_secret_expiry_timestamp_seconds"),
        of_credential("client certificate", "smtpcheck_client_certificate_expiry_timestamp_seconds"),
        of_credential("refresh token", "smtpcheck_refresh_token_expiry_timestamp_seconds"),
        f'label_replace({of_server}, "what", "server certificate", "", "")',
    )


def beside(metric: str) -> str:
    """Return the series of a metric for all checks that go to the mailbox of the one check, each with its way."""
    mine = f"max by (instance, side_by_side) ({one('smtpcheck_check_info')})"
    ways = f'smtpcheck_check_info{{{AGENT}, side_by_side!=""}} and on (instance, side_by_side) {mine}'
    return f"{agents(metric)} * on ({IDENTITY}) group_left (via) {per_check(ways)}"


def remedied(series: str) -> str:
    """Return series that have a cause, with its remedy as a label; none without the rules that record it."""
    return f"({series}) * on (cause) group_left (remedy) topk by (cause) (1, smtpcheck:remedy:info)"


def per_check(series: str) -> str:
    """Return one series of each check, for the right side of a join: two would make the whole query fail."""
    return f"topk by ({IDENTITY}) (1, {series})"


def either(*expressions: str) -> str:
    """Return the series of all expressions."""
    return "\nor\n".join(expressions)
