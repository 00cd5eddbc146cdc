"""`smtpcheck validate` and `smtpcheck schema`: the configuration, before anything runs."""

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from smtpcheck.cli.options import ConfigFiles, ShardOf, files_of, shard_of, show_problems

if TYPE_CHECKING:
    from smtpcheck.config import Settings

_MOST_NAMED = 5


class SchemaOf(StrEnum):
    """What a schema is of."""

    CHECKS = "checks"
    API = "api"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="validate")(validate)
    app.command(name="schema")(schema)


def validate(
    config_file: ConfigFiles = None,
    strict: Annotated[bool, typer.Option("--strict", help="An unreadable secret is an error too.")] = False,
    shard: ShardOf = None,
) -> int:
    """Show every problem of the configuration.

    Without errors it also shows the traffic that the configuration causes at each host. Exit 0 or 1.
    """
    from smtpcheck.config import load, traffic_of
    from smtpcheck.model.shard import WHOLE
    from smtpcheck.output.finding import show
    from smtpcheck.output.terminal import shards_text, traffic_tables

    loaded = load(files_of(config_file), strict=strict, shard=shard_of(shard))
    show_problems(loaded)
    if loaded.settings is None:
        count = sum(problem.severity == "error" for problem in loaded.problems)
        print(f"{_counted(count, 'error')}: nothing would start", file=sys.stderr)
        return 1
    if loaded.settings.sharding.shard != WHOLE:
        show(shards_text(loaded.settings))
    show(traffic_tables(traffic_of(loaded.settings)))
    for name, credential in loaded.settings.credentials.items():
        if credential.unknown_expiry:
            print(f"credential {name}: {credential.unknown_expiry}")
    _propose_receivers(loaded.settings)
    checks, warnings = len(loaded.settings.checks), len(loaded.problems)
    print(f"\n{_counted(checks, 'check')}, no errors, {_counted(warnings, 'warning')}")
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def _propose_receivers(settings: "Settings") -> None:
    """Propose whose results to believe, where a loopback names nobody and it is known or was seen."""
    from smtpcheck.config.providers import AUTHSERV_IDS, provider_of_host
    from smtpcheck.model.printable import printable
    from smtpcheck.state.send_journal import SendJournal

    seen = SendJournal(settings.agent.state).receivers()
    checks: dict[str, list[str]] = {}
    for check, plan in settings.loopbacks.items():
        if plan.authserv_id is None and plan.find is not None:
            provider = provider_of_host(plan.find.server.host if plan.find.server else "")
            known = "" if plan.exchange_online else AUTHSERV_IDS.get(provider) if provider else None
            if (name := seen.get(check, known)) is not None:
                checks.setdefault(name, []).append(check)
    for name, named in checks.items():
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        whose = "the receiver gives its results for SPF, DKIM and DMARC under this name"
        print(f'loopback of {", ".join(named[:_MOST_NAMED])}{more}: set authserv_id: "{printable(name)}"; {whose}')


def schema(
    of: Annotated[
        SchemaOf, typer.Argument(help="checks: the configuration. api: a file that describes a mail API (via: file).")
    ] = SchemaOf.CHECKS,
) -> None:
    """Print a JSON Schema, for editors."""
    from smtpcheck.config import api_json_schema, json_schema

    print(json.dumps(json_schema() if of is SchemaOf.CHECKS else api_json_schema(), indent=2))
