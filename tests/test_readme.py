"""What the README and docs/ say is true: their metrics, configurations, paths, links and options."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smtpcheck.cli import app
from smtpcheck.config import load
from smtpcheck.output.metrics import families as table
from smtpcheck.output.metrics.families import BY_PROVIDER, PER_CHECK, PER_CREDENTIAL, PER_LOOPBACK, PER_PROBE, TABLE

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page.name if page.parent == ROOT else f"docs/{page.name}": page.read_text() for page in PAGES}
COMMANDS = "\n".join(re.findall(r"^```sh\n(.*?)^```", "\n".join(TEXT.values()), re.DOTALL | re.MULTILINE))


def metric_rows() -> str:
    """Return the table of all metrics as docs/metrics.md must have it."""
    groups = {
        "check": PER_CHECK + PER_LOOPBACK,
        "probe": PER_PROBE,
        "credential": PER_CREDENTIAL,
        "provider": BY_PROVIDER,
        "agent": table.AGENT,
    }
    rows = ["| metric | of each | labels | meaning |", "|---|---|---|---|"]
    for name, families in groups.items():
        for family in families:
            labels = ", ".join(f"`{label}`" for label in family.labels if label not in groups)
            rows.append(f"| `{family.name}` | {name} | {labels} | {family.help} |")
    return "\n".join(rows)


def test_the_table_of_metrics_is_the_one_in_the_code() -> None:
    """The table stands between two marks; this message shows what belongs there."""
    found = re.search(r"<!-- metrics: begin -->\n(.*?)\n?<!-- metrics: end -->", TEXT["docs/metrics.md"], re.DOTALL)
    assert found
    assert found[1] == metric_rows()
    assert found[1].count("| `smtpcheck_") == len(TABLE)


def test_the_first_configuration_is_good(tmp_path: Path) -> None:
    """It loads with no problem but its secret file, which the reader does not have yet."""
    config = tmp_path / "checks.yaml"
    first = re.search(r"```yaml\n(credentials:.*?)```", TEXT["README.md"], re.DOTALL)
    assert first
    config.write_text(first[1])
    loaded = load([config])
    assert loaded.settings
    assert ["/run/secrets/contoso" in str(problem) for problem in loaded.problems] == [True]


def test_the_alerts_are_those_of_a_configuration_that_loads(tmp_path: Path) -> None:
    """It has no problem but the secrets that the reader does not have yet."""
    config = tmp_path / "checks.yaml"
    found = re.search(r"```yaml\n(alerts:.*?)```", TEXT["docs/alerts.md"], re.DOTALL)
    assert found
    check = "{name: gateway, depth: connect, server: {host: relay.example.org}, labels: {team: finance}}"
    config.write_text(f"{found[1]}checks: [{check}]\n")
    loaded = load([config])
    assert loaded.settings and loaded.settings.alerts
    assert len(loaded.settings.alerts.notifiers) == 6
    assert {problem.path for problem in loaded.problems} == {
        "alerts.notify[1].routing_key",
        "alerts.notify[2].api_key",
        "alerts.notify[3].url",
        "alerts.notify[4].hmac_key",
        "alerts.heartbeat.url",
    }


def test_the_refusals_that_must_come_are_good(tmp_path: Path) -> None:
    """With the credentials that they name they load with no problem."""
    config = tmp_path / "checks.yaml"
    example = re.search(r"```yaml\n(checks:\n  - name: no-passwords.*?)```", TEXT["docs/configuration.md"], re.DOTALL)
    assert example
    contoso = "{type: microsoft, tenant: x, client_id: x, client_secret: {value: abc}}"
    legacy = "{type: password, password: {value: abc}}"
    config.write_text(f"credentials: {{contoso: {contoso}, legacy: {legacy}}}\n{example[1]}")
    assert [str(problem) for problem in load([config]).problems] == []


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^smtpcheck ([\w-]+)", COMMANDS, re.MULTILINE))))
def test_commands_and_their_options_exist(command: str) -> None:
    """Every option that a page gives a command is in its help."""
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    lines = re.findall(rf"^smtpcheck {command}((?:.*\\\n)*.*)$", COMMANDS, re.MULTILINE)
    options = {option for line in lines for option in re.findall(r"(?<=\s)--?[a-z][a-z.-]*", line.split("#")[0])}
    assert {option for option in options if option not in shown} == set()


DOCUMENTS = [*TEXT, "CONTRIBUTING.md", "SECURITY.md", "dashboards/README.md"]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page: each heading in lower case without punctuation, with hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_links_to_exists(name: str) -> None:
    """Links to files and headings, and in CONTRIBUTING the rooms and files in back quotes."""
    document = ROOT / name
    text = document.read_text()
    for link in set(re.findall(r"\]\(([^)\s]+)\)", text)):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
    if name == "CONTRIBUTING.md":
        named = set(re.findall(r"`((?:\.ci/)?[\w-]+(?:/[\w.-]+)*/(?:[\w-]+\.\w+)?)`", text))
        assert len(named) > 20
        assert {
            path for path in named if not any((place / path).exists() for place in (ROOT, ROOT / "smtpcheck"))
        } == set()


def test_every_page_of_docs_is_in_its_index() -> None:
    index = set(re.findall(r"\]\(([^)]+\.md)\)", TEXT["docs/README.md"]))
    assert {page.name for page in PAGES if page.parent != ROOT and page.name != "README.md"} <= index
