"""compose.yaml and what lies beside it: valid, of one mind with each other, and closed to everybody else."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from smtpcheck.agent.agent import DRAIN_SECONDS
from smtpcheck.model.duration import parse_duration
from tests.real.daemon import real_binary
from tests.worlds.published_schemas import problems

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "dashboards"
SCHEMA = "vendor.compose-spec"
OURS = "smtpcheck"
DAYS_OF_BUDGET = 30


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


COMPOSE = document("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def mounts(service: str) -> dict[str, tuple[str, bool]]:
    """Return source and whether it is read-only of each path that a service sees."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        if isinstance(volume, dict):
            found[volume["target"]] = (volume["source"], volume["read_only"])
        else:
            source, path, *mode = re.sub(r"\${\w+:-(.*?)}", r"\1", volume).split(":")
            found[path] = (source, mode == ["ro"])
    return found


def published(service: str) -> list[tuple[str, str, str]]:
    """Return address, port of the host and port of the container."""
    return [tuple(port.split(":")) for port in SERVICES[service]["ports"]]


def ports(service: str) -> set[int]:
    return {int(inner) for _, _, inner in published(service)}


def test_it_is_valid_by_the_schema_of_the_compose_specification(tmp_path: Path) -> None:
    assert problems(SCHEMA, FOLDER / "compose.yaml") == []
    broken = tmp_path / "compose.yaml"
    broken.write_text((FOLDER / "compose.yaml").read_text().replace("cap_drop:", "cap_drops:"))
    assert problems(SCHEMA, broken) != []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_pinned_and_confined(service: str) -> None:
    """It writes into its volumes only, gains no rights, and is reached from this machine alone."""
    settings = SERVICES[service]
    assert service == OURS or re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", settings["image"])
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert settings["restart"] == "unless-stopped"
    assert {address for address, _, _ in published(service)} == {"127.0.0.1"}


@pytest.mark.parametrize("service", SERVICES)
def test_the_health_of_a_service_is_watched(service: str) -> None:
    """At a port of its own; the agent's image brings its own check."""
    if service == OURS:
        assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
        return
    url = urlsplit(SERVICES[service]["healthcheck"]["test"][-1])
    assert {url.port} == ports(service)


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_mounts_exists_and_cannot_be_changed(service: str) -> None:
    """But for the volumes, and for the configuration and the secrets, which the user writes."""
    for source, read_only in mounts(service).values():
        if source in COMPOSE["volumes"]:
            assert source == service
        else:
            assert read_only
            assert (FOLDER / source).exists() or source in {"../secrets", "${SMTPCHECK_CONFIG:-../config}"}


def test_a_configuration_that_is_replaced_is_seen() -> None:
    """Of a single file a container keeps what it was given, also after an editor or a script has replaced it."""
    assert mounts(OURS)["/etc/smtpcheck"] == ("${SMTPCHECK_CONFIG:-../config}", True)
    assert "--config.file=/etc/smtpcheck/checks.yaml" in SERVICES[OURS]["command"]


def test_the_end_of_the_agent_is_waited_for() -> None:
    """For a reload, the runs by their default limits (20 s, and 10 s for a token), and messages being sent."""
    assert parse_duration(SERVICES[OURS]["stop_grace_period"]) >= 2 * DRAIN_SECONDS + 20 + 10


def test_no_secret_stands_in_it() -> None:
    for settings in SERVICES.values():
        assert not [name for name in settings.get("environment", {}) if re.search("PASSWORD|SECRET_KEY|TOKEN", name)]


def test_the_agent_runs_as_its_image_does() -> None:
    """With the paths and the port of the Dockerfile; what changes in the configuration's folder, it reloads."""
    image = (ROOT / "Dockerfile").read_text()
    (command,) = re.findall(r"^CMD (\[.*\])$", image, re.MULTILINE)
    (default,) = re.findall(r"^\${SMTPCHECK_COMMAND:-(.*)}$", SERVICES[OURS]["command"])
    assert [each for each in default.split() if each != "--config.auto-reload"] == json.loads(command)
    assert "--config.auto-reload" in default.split()
    assert set(re.findall(r"^(?:VOLUME|EXPOSE) (\S+)$", image, re.MULTILINE)) <= {*mounts(OURS), *map(str, ports(OURS))}


def test_prometheus_scrapes_the_agent_loads_the_rules_and_tells_alertmanager() -> None:
    config = document("prometheus.yml")
    (job,) = config["scrape_configs"]
    (agents,) = job["static_configs"]
    ((managers,),) = (each["static_configs"] for each in config["alerting"]["alertmanagers"])
    assert (job["job_name"], agents["targets"]) == (OURS, [f"{OURS}:9587"])
    assert managers["targets"] == ["alertmanager:9093"]
    assert ports(OURS) == {9587} and ports("alertmanager") == {9093}
    assert agents["labels"]["instance"] == "localhost:9587"
    assert mounts("prometheus")["/etc/prometheus"] == (".", True)
    assert config["rule_files"] == ["*.rules.yaml"]


def test_prometheus_keeps_what_the_error_budgets_look_back_to() -> None:
    (kept,) = re.findall(r"--storage.tsdb.retention.time=(\w+)", " ".join(SERVICES["prometheus"]["command"]))
    assert parse_duration(kept) > DAYS_OF_BUDGET * 86400


def test_grafana_finds_the_boards_and_the_data_sources() -> None:
    """Under the paths that the services mount; the distance of points is that of scrapes."""
    (provider,) = document("provisioning/dashboards/smtpcheck.yaml")["providers"]
    sources = document("provisioning/datasources/prometheus.yaml")["datasources"]
    assert mounts("grafana")[provider["options"]["path"]] == (".", True)
    assert mounts("grafana")["/etc/grafana/provisioning"] == ("./provisioning", True)
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FOLDER / Path(home).relative_to(provider["options"]["path"])).exists()
    for source in sources:
        url = urlsplit(source["url"])
        assert url.hostname == source["type"] and {url.port} == ports(source["type"])
    (prometheus,) = (source for source in sources if source["type"] == "prometheus")
    assert prometheus["jsonData"]["timeInterval"] == document("prometheus.yml")["global"]["scrape_interval"]
    assert prometheus["jsonData"]["alertmanagerUid"] in {source["uid"] for source in sources}


@pytest.mark.parametrize(
    "command",
    [("promtool", "check", "config", "prometheus.yml"), ("amtool", "check-config", "alertmanager.yml")],
    ids=lambda command: command[0],
)
def test_the_tools_of_prometheus_find_no_fault(command: tuple[str, ...]) -> None:
    result = subprocess.run(
        [real_binary(command[0]), *command[1:]], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_alertmanager_speaks_of_alerts_that_exist() -> None:
    rules = [path.read_text() for path in FOLDER.glob("*.rules.yaml")]
    alerts = {name for text in rules for name in re.findall(r"alert: (\w+)", text)}
    assert set(re.findall(r"Smtpcheck\w+", (FOLDER / "alertmanager.yml").read_text())) <= alerts
