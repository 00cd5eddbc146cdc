"""What `loopback:` means, and what is told of one that cannot work."""

from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.config import Settings, load, traffic_of
from smtpcheck.config.sharding import split
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.plan import FindVia, Loopback
from smtpcheck.model.shard import Shard
from smtpcheck.output import terminal
from smtpcheck.output.finding import show

CONFIG = """
credentials:
  contoso: {{type: microsoft, tenant: contoso.com, client_id: x, client_secret: {{value: abc}}}}
  reader: {{type: microsoft, tenant: contoso.com, client_id: y, client_secret: {{value: abc}}}}
  ready: {{type: token, from: {{value: abc}}}}
checks:
  - name: billing
    mailbox: billing@contoso.com
    credential: contoso
    loopback: {{{loopback}}}
  - name: local
    mailbox: a@example.org
    credential: ready
    server: {{host: {host}}}
    loopback:
      every: {every}
      to: b@example.org
      find: {{via: none}}
  - {{name: other, depth: connect, server: {{host: smtp.example.org}}}}
"""
LOOPBACK = "to: probe@contoso.com, find: {via: imap}"


def told(
    folder: Path, loopback: str = LOOPBACK, host: str = "127.0.0.1", every: str = "15m"
) -> tuple[Settings | None, str]:
    """Return the settings and what was told of them."""
    file = folder / "checks.yaml"
    file.write_text(CONFIG.format(loopback=loopback, host=host, every=every))
    loaded = load([file])
    return loaded.settings, "\n".join(str(problem) for problem in loaded.problems).replace(f"{file}:", "")


def test_a_short_loopback_gets_every_default(tmp_path: Path) -> None:
    settings, problems = told(tmp_path)
    assert (problems, settings is not None) == ("", True)
    assert settings
    assert set(settings.loopbacks) == {"billing", "local"}
    found = settings.loopbacks["billing"]
    assert found.find
    assert (found.find.via, found.find.mailbox, found.find.credential) == (
        FindVia.IMAP,
        "probe@contoso.com",
        "contoso",
    )
    assert found == Loopback(
        every=900.0,
        sender="billing@contoso.com",
        recipient="probe@contoso.com",
        find=found.find,
        warn_after=60.0,
        lost_after=900.0,
        limits=Limits(per_hour=12, per_day=200),
        exchange_online=True,
        bounces=replace(found.find, mailbox="billing@contoso.com"),
    )
    assert settings.loopbacks["local"].find is None


@pytest.mark.parametrize(
    ("find", "more", "expected"),
    [
        ("{via: graph}", "", True),
        ("{via: imap}", "", True),
        ("{via: none}", "", False),
        ("{via: imap, credential: ready, server: {host: imap.example.org}}", "", False),
        ("{via: imap, credential: ready, server: {host: imap.example.org}}", "authserv_id: mx.example.org", False),
        ("{via: imap, credential: ready, server: {host: imap.example.org}}", "authserv_id: ''", True),
    ],
)
def test_whose_mailbox_is_at_exchange_online(tmp_path: Path, find: str, more: str, expected: bool) -> None:
    """There its own verdicts are believed; a receiver without a name is none other."""
    settings, _ = told(tmp_path, f"to: probe@contoso.com, find: {find}{f', {more}' if more else ''}")
    assert settings
    assert settings.loopbacks["billing"].exchange_online is expected


def test_every_key_counts(tmp_path: Path) -> None:
    keys = (
        "every: 10m, from: alias@contoso.com, to: probe@contoso.com, warn_after: 2m, lost_after: 1h, max_per_day: 150, "
        "max_per_hour: 6, contact: 'mail team, room 7', authserv_id: '', delete: false, "
        "find: {via: graph, credential: reader}"
    )
    settings, problems = told(tmp_path, keys)
    assert problems == ""
    assert settings
    found = settings.loopbacks["billing"]
    assert found.find
    assert (found.find.via, found.find.credential) == (FindVia.GRAPH, "reader")
    assert found == Loopback(
        every=600.0,
        sender="alias@contoso.com",
        recipient="probe@contoso.com",
        find=found.find,
        warn_after=120.0,
        lost_after=3600.0,
        limits=Limits(per_hour=6, per_day=150),
        contact="mail team, room 7",
        authserv_id="",
        exchange_online=True,
        delete=False,
        bounces=replace(found.find, mailbox="alias@contoso.com"),
    )


@pytest.mark.parametrize(
    ("loopback", "expected"),
    [
        ("find: {via: imap}", "loopback.to: is missing"),
        ("to: probe@contoso.com", "loopback.find: is missing"),
        (f"{LOOPBACK}, every: 1m", "loopback.every: must be 300s or more, not 60s"),
        (f"{LOOPBACK}, lost_after: 1m", "loopback.lost_after: must not be 60s"),
        (f"{LOOPBACK}, lost_after: 1d", "loopback.lost_after: must not be 86400s"),
        (f"{LOOPBACK}, max_per_day: 5000", "loopback.max_per_day: must be 1000 or less"),
        (f"{LOOPBACK}, contact: 'a\\nb'", "loopback.contact: is not a valid contact"),
        (f"{LOOPBACK}, authserv_id: 'a b'", "loopback.authserv_id: is not a valid server name"),
        (f"{LOOPBACK}, evry: 15m", "loopback.evry: unknown key"),
        ("to: probe@contoso.com, find: {via: imap, credential: nobody}", "loopback.find.credential: there is no"),
    ],
)
def test_what_cannot_work_is_told_where_it_stands(tmp_path: Path, loopback: str, expected: str) -> None:
    settings, problems = told(tmp_path, loopback.replace("'a\\nb'", '"a\\nb"'))
    assert settings is None
    path, _, message = expected.partition(": ")
    assert problems.startswith(f"10: checks[0].{path}:")
    assert message in problems


def test_more_messages_than_the_caps_allow_are_warned_of(tmp_path: Path) -> None:
    settings, problems = told(tmp_path, f"{LOOPBACK}, every: 5m")
    assert settings
    assert "makes more messages than max_per_day: 200 and max_per_hour: 12 allow" in problems


@pytest.mark.parametrize(
    ("host", "usable"), [("localhost", True), ("'::1'", True), ("127.8.8.8", True), ("10.0.0.1", False)]
)
def test_only_a_server_on_this_machine_may_be_sent_to_each_second(tmp_path: Path, host: str, usable: bool) -> None:
    settings, problems = told(tmp_path, host=host, every="2s")
    assert (settings is not None) == usable, problems


def test_a_check_without_a_credential_cannot_send(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        "checks: [{name: a, depth: connect, server: {host: smtp.example.org},"
        " loopback: {to: b@example.org, find: {via: none}}}]"
    )
    assert [problem.message for problem in load([file]).problems] == ["needs a credential"]


def test_what_must_be_refused_is_not_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "checks.yaml"
    file.write_text(
        "checks: [{name: a, sender: a@example.org, server: {host: smtp.example.org}, expect: {phase: mail},"
        " loopback: {to: b@example.org, find: {via: none}}}]"
    )
    assert [problem.message for problem in load([file]).problems] == ["cannot be combined with expect"]


def test_a_shard_sends_for_its_own_checks_with_the_credentials_that_they_need(tmp_path: Path) -> None:
    settings, _ = told(tmp_path, "to: probe@contoso.com, find: {via: imap, credential: reader}")
    assert settings
    parts = [split(settings, Shard(number, 2)) for number in range(2)]
    for part in parts:
        assert set(part.loopbacks) == {check.name for check in part.checks} & set(settings.loopbacks)
        assert ("reader" in part.credentials) == ("billing" in part.loopbacks)
        assert {sender.mailbox for sender in part.sharding.senders} == {"billing@contoso.com", "a@example.org"}


def test_searches_are_announced_and_of_how_many_requests_one_in_graph_consists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the host that is asked; nothing else is told of IMAP."""
    plan = "every: 288m, to: probe@contoso.com, warn_after: 1m, lost_after: 15m, find: "
    shown = {}
    for via in ("imap", "graph"):
        settings, _ = told(tmp_path, plan + f"{{via: {via}}}")
        assert settings
        announced = traffic_of(settings)
        (search,) = announced.searches
        show(terminal.traffic_tables(announced))
        shown[search.via, search.host, search.mailboxes] = " ".join(capsys.readouterr().out.split())
    assert list(shown) == [
        (FindVia.IMAP, "outlook.office365.com:993", 2),
        (FindVia.GRAPH, "graph.microsoft.com", 2),
    ]
    imap, graph = shown.values()
    assert "in Microsoft Graph" not in imap
    assert "A search in Microsoft Graph takes at most 4 requests for every 7 pending messages" in graph
    assert imap.split("searches/h")[1].split()[2:4] == graph.split("searches/h")[1].split()[2:4]


USERS = """
credentials:
  app: {{type: microsoft, tenant: contoso.com, client_id: x, client_secret: {{value: abc}}}}
  anna: {{type: microsoft-user, tenant: contoso.com, client_id: y}}
  bob: {{type: microsoft-user, tenant: contoso.com, client_id: z}}
  own: {{type: password, password: {{value: abc}}}}
  other: {{type: password, user: probe, password: {{value: abc}}}}
checks:
  - name: billing
    mailbox: anna@contoso.com
    credential: {credential}
    server: {{host: smtp.example.org}}
    loopback:
      to: probe@contoso.com
      find: {find}
      bounces: {bounces}
"""
_SERVER = "server: {host: imap.example.org}"


@pytest.mark.parametrize(
    ("credential", "find", "bounces", "expected"),
    [
        ("app", "{via: imap}", None, ("imap", "anna@contoso.com", "app")),
        ("app", "{via: graph}", None, ("graph", "anna@contoso.com", "app")),
        ("app", "{via: none}", None, None),
        ("anna", "{via: imap, credential: app}", None, ("imap", "anna@contoso.com", "app")),
        ("anna", "{via: imap}", None, ("imap", "anna@contoso.com", "anna")),
        ("anna", "{via: imap, credential: bob}", None, None),
        ("own", f"{{via: imap, {_SERVER}}}", None, ("imap", "anna@contoso.com", "own")),
        ("own", f"{{via: imap, credential: other, {_SERVER}}}", None, None),
        ("app", "{via: imap}", "{via: none}", None),
        ("app", "{via: imap}", "{via: graph}", ("graph", "anna@contoso.com", "app")),
        ("anna", "{via: imap, credential: bob}", "{via: imap}", ("imap", "anna@contoso.com", "anna")),
        ("app", "{via: none}", "{via: imap, credential: anna}", ("imap", "anna@contoso.com", "anna")),
        ("app", "{via: imap}", "{via: imap, mailbox: returns@contoso.com}", ("imap", "returns@contoso.com", "app")),
        ("app", "{via: imap, mailbox: ANNA@contoso.com}", None, ("imap", "ANNA@contoso.com", "app")),
    ],
)
def test_where_bounces_are_looked_for(
    tmp_path: Path, credential: str, find: str, bounces: str | None, expected: tuple[str, str, str] | None
) -> None:
    """By default as the messages, where the finder's credential opens the sender's mailbox as far as can be known."""
    file = tmp_path / "checks.yaml"
    text = USERS.format(credential=credential, find=find, bounces=bounces)
    file.write_text(text if bounces else text.replace("      bounces: None\n", ""))
    loaded = load([file])
    assert loaded.settings, loaded.problems
    plan = loaded.settings.loopbacks["billing"]
    found = plan.bounces
    assert (found and (found.via, found.mailbox, found.credential)) == expected
    assert plan.bounces_required is (bounces is not None and "none" not in bounces)


def test_a_server_that_is_named_once_serves_both(tmp_path: Path) -> None:
    """And one mailbox is one search."""
    file = tmp_path / "checks.yaml"
    find = f"{{via: imap, mailbox: anna@contoso.com, {_SERVER}}}"
    file.write_text(USERS.format(credential="own", find=find, bounces="{via: imap}"))
    settings = load([file]).settings
    assert settings
    plan = settings.loopbacks["billing"]
    assert plan.bounces == plan.find
    assert len(plan.searched) == 1


def test_what_cannot_work_about_bounces_is_reported_where_it_is(tmp_path: Path) -> None:
    settings, problems = told(tmp_path, f"{LOOPBACK}, bounces: {{via: imap, credential: nobody}}")
    assert settings is None
    assert 'checks[0].loopback.bounces.credential: "nobody": there is no credential of this name' in problems


def test_searches_for_bounces_are_announced(tmp_path: Path) -> None:
    with_them, _ = told(tmp_path)
    without, _ = told(tmp_path, f"{LOOPBACK}, bounces: {{via: none}}")
    assert with_them and without
    (more,), (less,) = traffic_of(with_them).searches, traffic_of(without).searches
    assert more.searches_per_hour > 1.9 * less.searches_per_hour
