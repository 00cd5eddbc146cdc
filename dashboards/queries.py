"""PromQL of the boards: what a query is, and the selectors that the boards' variables make.

Rules of this file:
- A panel shows what the variables choose: `job` and `instance` hold everywhere, `check` and `provider` for checks.
- Series of one check do not bear its provider; they are joined with `smtpcheck_check_info`, which does.
- Alternatives are joined by `either` alone, each on lines of its own, so that a test can ask for each of them.
- Rates take `$__rate_interval`; nothing is put in the place of a series that is missing.
"""

from dataclasses import dataclass

AGENT = 'job=~"$job", instance=~"$instance"'
"""The series of the chosen agents."""
CHECK = f'{AGENT}, check=~"$check"'
PROVIDER = f'{AGENT}, provider=~"$provider"'
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
    return chosen(f"{metric}{{{CHECK}}}")


def agents(metric: str) -> str:
    """Return the series of a metric of the chosen agents or of their credentials."""
    return f"{metric}{{{AGENT}}}"


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
    """Return each check's share of the chosen time in which its last run had reached its depth; unknown counts not.

    With `at` (` @ end()`) it is the same at each point of a graph.
    """
    return chosen(f"avg_over_time(smtpcheck_success{{{CHECK}}}[$__range]{at})", at)


def named(what: str, expression: str) -> str:
    """Return the expression's series with a label that says what they are."""
    return f'label_replace({expression}, "what", "{what}", "", "")'


def either(*expressions: str) -> str:
    """Return the series of all expressions."""
    return "\nor\n".join(expressions)
