"""The boards: the JSON is what the code makes, its form is sound, and it speaks of metrics that exist."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import BOARDS, FILES
from smtpcheck.output.metrics import families
from smtpcheck.output.metrics.families import Kind

FOLDER = Path(__file__).parent.parent.parent / "dashboards"
PROCESS = {"resident_memory_bytes", "cpu_seconds_total", "start_time_seconds", "open_fds", "max_fds"}
NOT_OURS = {f"process_{name}" for name in PROCESS} | {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
"""Metrics that every job has: Prometheus itself and prometheus_client make them."""


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return each board's JSON."""
    document: dict[str, Any] = json.loads((FOLDER / request.param).read_text())
    return document


def expressions(board: dict[str, Any]) -> list[str]:
    """Return the queries of all panels, variables and annotations."""
    return [
        *(target["expr"] for panel in board["panels"] for target in panel.get("targets", ())),
        *(variable["query"] for variable in board["templating"]["list"] if variable["type"] == "query"),
        *(annotation["expr"] for annotation in board["annotations"]["list"]),
    ]


def recorded() -> set[str]:
    """Return the series that the rules record."""
    files = [yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.rules.yaml")]
    return {rule.get("record") for file in files for group in file["groups"] for rule in group["rules"]} - {None}


def shared_cells(panels: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the titles of each two panels that cover one another."""

    def apart(one: dict[str, int], other: dict[str, int]) -> bool:
        return (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )

    pairs = itertools.combinations(panels, 2)
    return [(one["title"], two["title"]) for one, two in pairs if not apart(one["gridPos"], two["gridPos"])]


def test_every_json_file_is_a_board_of_the_code() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(BOARDS)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_the_code_makes(name: str) -> None:
    """`python -m dashboards` writes it anew."""
    assert (FOLDER / name).read_text() == FILES[name]()


def test_the_sdk_reads_the_json_and_writes_the_same(board: dict[str, Any]) -> None:
    """Nothing in it is unknown to Grafana's own model of a board, but the text that the data source itself reads."""
    for annotation in board["annotations"]["list"]:
        assert re.search(r"{{\w+}}", annotation.pop("titleFormat"))
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(board))) == board


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_known_by_the_name_of_its_file(name: str) -> None:
    """Links and provisioning find it by its uid; a database id would bind it to one Grafana."""
    board = json.loads((FOLDER / name).read_text())
    assert (f"{board['uid']}.json", board.get("id"), board["schemaVersion"]) == (name, None, 41)


def test_panels_have_ids_of_their_own_and_cover_none_another(board: dict[str, Any]) -> None:
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    assert sorted(ids) == list(range(1, len(panels) + 1))
    assert shared_cells(panels) == []


def test_lines_of_panels_fill_the_width(board: dict[str, Any]) -> None:
    """Panels of one line are equally high, from the left edge to the right one."""
    lines = itertools.groupby(board["panels"], key=lambda panel: panel["gridPos"]["y"])
    for _, line in lines:
        places = [panel["gridPos"] for panel in line]
        assert len({place["h"] for place in places}) == 1
        assert [place["x"] for place in places] == list(itertools.accumulate([0] + [p["w"] for p in places[:-1]]))
        assert sum(place["w"] for place in places) == 24


def test_every_panel_says_what_it_shows(board: dict[str, Any]) -> None:
    """Title, description, unit, and the data source of the variable; each query has a letter of its own."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == sorted(set(letters)), panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}, panel["title"]


def test_the_board_speaks_of_metrics_that_exist(board: dict[str, Any]) -> None:
    """Of the table (of a histogram the buckets), recorded by a rule, Prometheus's own, or of every job."""
    ours = {family.name + ("_bucket" if family.kind is Kind.HISTOGRAM else "") for family in families.TABLE}
    text = "\n".join(expressions(board))
    named = set(re.findall(r"\b[\w:]*smtpcheck[\w:]+|\b\w+(?={)", text))
    assert named - ours - recorded() - NOT_OURS - {"ALERTS"} == set()


def test_only_variables_that_exist_are_used(board: dict[str, Any]) -> None:
    """A misspelt variable would stay in the query as it is."""
    variables = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps(board)
    used = set(re.findall(r"\$\{?(\w+)", text))
    assert {name for name in used if not name.startswith("__")} == variables


def test_links_lead_to_boards_that_exist_and_to_their_variables() -> None:
    """By the uid; a variable that the other board has not would be lost."""
    boards = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    variables = {uid: {variable["name"] for variable in board["templating"]["list"]} for uid, board in boards.items()}
    links = re.findall(r'"/d/([\w-]+)\?([^"]*)"', "\n".join(path.read_text() for path in FOLDER.glob("*.json")))
    assert {uid for uid, _ in links} == {"smtpcheck-check", "smtpcheck-credentials"}
    for uid, query in links:
        handed = {*re.findall(r"var-(\w+)=", query), *re.findall(r"\${(\w+):queryparam}", query)}
        assert handed <= variables[uid]


def test_all_jobs_are_those_of_smtpcheck(board: dict[str, Any]) -> None:
    """A pattern for all would match every job, and `up` and `process_*` are metrics of every job."""
    (job,) = (variable for variable in board["templating"]["list"] if variable["name"] == "job")
    assert (job["includeAll"], job.get("allValue")) == (True, None)
    theirs = re.compile(rf"\b(?:{'|'.join(NOT_OURS)})\b(?!{{job=~\"\$job\")")
    assert [expression for expression in expressions(board) if theirs.search(expression)] == []


def test_no_query_fills_what_is_missing(board: dict[str, Any]) -> None:
    """A series that is missing is to be seen as missing."""
    assert [expression for expression in expressions(board) if re.search(r"\b(vector|absent)\b", expression)] == []


def test_rates_are_taken_over_grafanas_own_interval(board: dict[str, Any]) -> None:
    """Only it is long enough for every scrape interval and every width of the panel."""
    counted = re.compile(r"\b(?:rate|increase|changes)\([^\[]*\[([^\]]*)\]")
    windows = {window for text in expressions(board) for window in counted.findall(text)}
    assert windows <= {"$__rate_interval"}


def test_links_of_tables_name_columns_that_are_there(board: dict[str, Any]) -> None:
    """One that is left out of the table has no value for a link."""
    for panel in board["panels"]:
        for change in panel.get("transformations", ()):
            if change["id"] == "organize":
                used = set(re.findall(r"\${__data\.fields\.(\w+)}", json.dumps(panel["fieldConfig"])))
                assert used <= set(change["options"]["indexByName"]), panel["title"]
                assert not used & set(change["options"]["excludeByName"]), panel["title"]


def test_covering_panels_would_be_seen() -> None:
    one = {"title": "one", "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8}}
    below = {"title": "below", "gridPos": {"x": 0, "y": 8, "w": 12, "h": 8}}
    across = {"title": "across", "gridPos": {"x": 11, "y": 7, "w": 12, "h": 8}}
    assert shared_cells([one, below, across]) == [("one", "across"), ("below", "across")]
