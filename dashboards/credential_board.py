"""The board of credentials: which get tokens, and when tokens, secrets, certificates and sign-ins expire."""

from collections.abc import Sequence

from grafana_foundation_sdk.models import dashboard as model

from dashboards import queries as q
from dashboards.meanings import DAYS, GRANTED, SELDOM, YES_NO
from dashboards.navigation import (
    AGENT_OF_ROW,
    CREDENTIAL_OF_ROW,
    HOST_OF_ROW,
    Annotation,
    board,
    label_variable,
)
from dashboards.panels import BAD, FAIR, GOOD, GREY, POOR, Column, Frame, Panel, Row, compose, graph, number, table
from dashboards.queries import Query

_NAMED = f'{{__name__=~"smtpcheck_check_info|smtpcheck_token_success", {q.AGENT}}}'
"""Those that checks use, and those that only inspect."""


def credentials() -> model.Dashboard:
    """Return the board."""
    refused = Annotation("No token", f"{q.credentials('smtpcheck_token_success')} == bool 0", "{{credential}}")
    empty = board(
        "smtpcheck-credentials",
        "Credentials and expiries",
        "Which credentials get tokens, and when tokens, client secrets, certificates and sign-ins expire.",
        [label_variable("credential", "Credential", _NAMED, everything=".*")],
        [refused],
    )
    return compose(empty, (Row("Now", _now()), Row("Over time", _over_time())))


def _now() -> Sequence[Panel]:
    token, fresh = q.credentials("smtpcheck_token_success"), q.credentials("smtpcheck_fresh_token_success")

    def within(days: int, colour: str) -> Panel:
        title = f"Expires within {days} day{'s' if days > 1 else ''}"
        return number(
            Frame(
                title, "Secrets, certificates and sign-ins, expired ones too.", 4, 4, decimals=0, steps=((1, colour),)
            ),
            Query(f"sum(({q.ends()}\n) < bool {days})"),
        )

    return (
        number(
            Frame("Without a token", "Every check that uses them fails.", 6, 4, decimals=0, steps=((1, BAD),)),
            Query(f"sum({token} == bool 0)"),
        ),
        number(
            Frame(
                "Renewal failing",
                "The issuer refuses a new one while the old one still works.",
                6,
                4,
                decimals=0,
                steps=((1, POOR),),
            ),
            Query(f"sum(({token} == bool 1) * ({fresh} == bool 0))"),
        ),
        within(30, FAIR),
        within(7, POOR),
        within(1, BAD),
        _tokens(),
        _ends(),
    )


def _tokens() -> Panel:
    def least(metric: str, rest: str = "") -> Query:
        return Query(f"min by (instance, credential) ({q.credentials(metric)}{rest})")

    users = f"count by (instance, credential) ({q.credentials('smtpcheck_check_info')})"
    return table(
        Frame("Tokens", "A credential that works but is refused a new token uses its last one.", 12, 12),
        {
            "credential": Column("Credential", links=CREDENTIAL_OF_ROW),
            "Value #A": Column("Token", words=YES_NO),
            "Value #B": Column("New token", words=GRANTED),
            "Value #C": Column("Expires in", unit="s", decimals=0, base=BAD, steps=((300, GOOD),)),
            "Value #D": Column("Checks", decimals=0),
            "instance": Column("Agent", links=AGENT_OF_ROW),
        },
        least("smtpcheck_token_success"),
        least("smtpcheck_fresh_token_success"),
        least("smtpcheck_token_expiry_timestamp_seconds", " - time()"),
        Query(users),
    )


def _ends() -> Panel:
    return table(
        Frame(
            "Expiries",
            "Client secrets and refresh tokens only if the agent knows their expiry; certificates of all servers.",
            12,
            12,
        ),
        {
            "what": Column("What"),
            "credential": Column("Credential", links=CREDENTIAL_OF_ROW),
            "host": Column("Host", links=HOST_OF_ROW),
            "port": Column("Port", unit="string", width=60),
            "Value": Column("Days left", unit="none", decimals=1, base=BAD, steps=DAYS),
            "instance": Column("Agent"),
        },
        Query(q.ends()),
        ascending="Days left",
    )


def _over_time() -> Sequence[Panel]:
    asked = f"60 * sum by (credential, result) ({q.rate(q.credentials('smtpcheck_token_requests_total'))})"
    took = f"max by (credential) ({q.credentials('smtpcheck_token_acquisition_duration_seconds')})"
    used = f"time() - max by (credential) ({q.credentials('smtpcheck_refresh_token_last_refresh_timestamp_seconds')})"
    info = q.per_check(f'smtpcheck_check_info{{{q.CREDENTIAL}, credential!=""}}')
    bound = f"on ({q.IDENTITY}) group_left (credential) {info}"
    failing = f"sum by (credential) (({q.agents('smtpcheck_success')} == bool 0) * {bound})"
    return (
        graph(
            Frame("Failing checks by credential", "How many of its checks fail.", 12, 8, decimals=0),
            Query(failing, "{{credential}}"),
        ),
        graph(
            Frame("Requests to issuers", "Per minute; tokens from the cache do not count.", 12, 8, unit="reqpm"),
            Query(asked, "{{credential}} {{result}}"),
            interval=SELDOM,
        ),
        graph(
            Frame("Time to a token", "How long the last request to the issuer took.", 12, 8, unit="s"),
            Query(took, "{{credential}}"),
        ),
        graph(
            Frame("Refresh tokens", "How long ago each was last used; unused ones expire.", 12, 8, unit="s", base=GREY),
            Query(used, "{{credential}}"),
        ),
    )
