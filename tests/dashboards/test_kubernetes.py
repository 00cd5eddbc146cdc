"""The manifests for Kubernetes: valid by the schemas, of one mind with each other, and such that the agent runs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from dashboards import FILES
from smtpcheck.cli import app
from smtpcheck.config import load, parse_listen
from smtpcheck.diagnosis.catalogue import load as load_catalogue
from smtpcheck.model.shard import Shard, parse_shard
from smtpcheck.web import create_app
from tests.web.world import rich_world

FOLDER = Path(__file__).parent.parent.parent / "dashboards" / "kubernetes"
VERSIONS = ("1.29", "1.37")
"""The oldest and the newest Kubernetes that the manifests are held against."""
USER = 65532
"""Of the container image."""


def parsed(text: str) -> list[dict[str, Any]]:
    """Return the resources of a YAML text, with numbers as Kubernetes reads them (0440 is octal)."""
    return [document for document in yaml.safe_load_all(text) if document]


def kustomization() -> dict[str, Any]:
    return parsed((FOLDER / "kustomization.yaml").read_text())[0]


RESOURCES = {name: parsed((FOLDER / name).read_text())[0] for name in kustomization()["resources"]}


def faults(resource: dict[str, Any], version: str) -> list[str]:
    """Return what a schema finds wrong in a resource; an unknown key is wrong too."""
    if resource["apiVersion"].startswith("monitoring.coreos.com/"):
        from cloudcoil.models.prometheus_operator import v1 as monitoring  # it takes seconds

        model = getattr(monitoring, resource["kind"])
        known = model.model_validate(resource).model_dump(mode="json", by_alias=True, exclude_unset=True)
        return [] if known == resource else [f"{resource['kind']} has keys that its schema does not know"]
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error.message)]
    return []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", RESOURCES)
def test_every_resource_is_valid(name: str, version: str) -> None:
    assert faults(RESOURCES[name], version) == []


@pytest.mark.parametrize("name", RESOURCES)
def test_a_wrong_key_is_found(name: str) -> None:
    """The check above can fail, for every kind."""
    broken = {**RESOURCES[name], "spec": {**RESOURCES[name].get("spec", {}), "podMetricsEndpoint": []}}
    assert faults(broken, VERSIONS[-1]) != []


def test_every_file_is_used() -> None:
    used = {*kustomization()["resources"], "kustomization.yaml", "checks.yaml"}
    assert used == {path.name for path in FOLDER.iterdir()}
    assert {resource["kind"] for resource in RESOURCES.values()} == {
        *("Namespace", "StatefulSet", "Service", "NetworkPolicy", "PodMonitor", "PrometheusRule")
    }


def test_the_rules_are_those_of_the_folder_above() -> None:
    assert (FOLDER / "prometheus-rule.yaml").read_text() == FILES["kubernetes/prometheus-rule.yaml"]()


def test_the_configuration_is_good() -> None:
    """But for the secret, which lies in the cluster; its file is where the Secret is mounted."""
    loaded = load([FOLDER / "checks.yaml"])
    assert loaded.settings
    assert ["/run/secrets/smtpcheck/contoso" in str(problem) for problem in loaded.problems] == [True]
    assert kustomization()["configMapGenerator"] == [{"name": "smtpcheck", "files": ["checks.yaml"]}]


STATEFUL_SET = RESOURCES["stateful-set.yaml"]
POD = STATEFUL_SET["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def test_each_pod_is_a_shard_of_as_many_as_there_are() -> None:
    """The name of the pod is its number; how many there are is written once, and kustomize copies it."""
    (option,) = [argument for argument in CONTAINER["args"] if argument.startswith("--shard=")]
    shards = next(each["value"] for each in CONTAINER["env"] if each["name"] == "SHARDS")
    assert int(shards) == STATEFUL_SET["spec"]["replicas"] == kustomization()["replicas"][0]["count"]
    given = option.removeprefix("--shard=").replace("$(SHARDS)", shards)
    assert parse_shard(given.replace("$(POD_NAME)", "smtpcheck-2")) == Shard(2, 3)


def test_the_command_is_one_that_the_agent_takes() -> None:
    options = {argument.partition("=")[0]: argument.partition("=")[2] for argument in CONTAINER["args"]}
    assert set(options) == {"run", "--config.file", "--web.listen-address", "--shard", "--log.format"}
    assert options["--config.file"].startswith(volume_mounts()["config"])
    assert parse_listen(options["--web.listen-address"])[1] == CONTAINER["ports"][0]["containerPort"]
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert {option for option in options if option not in shown} == set()


def volume_mounts() -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}


def test_the_pod_keeps_to_the_restricted_standard() -> None:
    """Pod Security Standards, level restricted (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["fsGroup"] == USER
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert RESOURCES["namespace.yaml"]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_what_is_written_is_kept_and_nothing_else_can_be_written() -> None:
    """The state has a claim of its own for each agent; secrets are files that only the agent's group may read."""
    claims = [claim["metadata"]["name"] for claim in STATEFUL_SET["spec"]["volumeClaimTemplates"]]
    writable = [mount["name"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")]
    assert claims == writable == ["state"]
    assert volume_mounts()["state"] == "/var/lib/smtpcheck"
    (secret,) = [volume["secret"] for volume in POD["volumes"] if "secret" in volume]
    assert secret == {"secretName": "smtpcheck", "defaultMode": 0o440}


def test_probes_and_scrapes_ask_what_the_agent_answers() -> None:
    paths = {
        route.resource.canonical for route in create_app(rich_world(load_catalogue())).router.routes() if route.resource
    }
    asked = {CONTAINER[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    (endpoint,) = RESOURCES["pod-monitor.yaml"]["spec"]["podMetricsEndpoints"]
    assert asked == {"/-/healthy", "/-/ready"}
    assert asked | {endpoint["path"]} <= paths


def test_everything_selects_the_pods() -> None:
    labels = STATEFUL_SET["spec"]["template"]["metadata"]["labels"]
    assert RESOURCES["service.yaml"]["spec"]["selector"] == labels
    assert RESOURCES["network-policy.yaml"]["spec"]["podSelector"] == {"matchLabels": labels}
    assert RESOURCES["pod-monitor.yaml"]["spec"]["selector"] == {"matchLabels": labels}
    assert STATEFUL_SET["spec"]["selector"] == {"matchLabels": labels}
    assert STATEFUL_SET["spec"]["serviceName"] == RESOURCES["service.yaml"]["metadata"]["name"]


def by_kubectl(folder: Path) -> list[dict[str, Any]]:
    command = ["kubectl", "kustomize", str(folder)]
    return parsed(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def by_hand(folder: Path) -> list[dict[str, Any]]:
    """Return what kustomize makes of a folder, as its reference describes the keys that ours has.

    https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/
    """
    wanted = parsed((folder / "kustomization.yaml").read_text())[0]
    built = [parsed((folder / name).read_text())[0] for name in wanted.pop("resources")]
    found = {(resource["kind"], resource["metadata"]["name"]): resource for resource in built}
    for each in wanted.pop("configMapGenerator"):
        data = {name: (folder / name).read_text() for name in each["files"]}
        built.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each["name"]}, "data": data})
    for each in wanted.pop("replicas"):
        found["StatefulSet", each["name"]]["spec"]["replicas"] = each["count"]
    for each in wanted.pop("replacements"):
        source = each["source"]
        holder, key = at(found[source["kind"], source["name"]], source["fieldPath"])
        for target in each["targets"]:
            for path in target["fieldPaths"]:
                place, name = at(found[target["select"]["kind"], target["select"]["name"]], path)
                place[name] = type(place[name])(holder[key])
    for each in wanted.pop("images"):
        pod = found["StatefulSet", "smtpcheck"]["spec"]["template"]["spec"]
        (container,) = [one for one in pod["containers"] if one["image"].partition(":")[0] == each["name"]]
        container["image"] = f"{each['newName']}:{each['newTag']}"
    for resource in built:
        resource["metadata"].setdefault("namespace", wanted["namespace"])
    assert set(wanted) == {"apiVersion", "kind", "namespace"}
    return built


def at(resource: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return the mapping that holds a field, and its key there; `[name=x]` chooses from a list, and all must exist."""
    *steps, last = path.split(".")
    place: Any = resource
    for step in steps:
        if step.startswith("["):
            key, _, value = step.strip("[]").partition("=")
            (place,) = [each for each in place if each[key] == value]
        else:
            place = place[step]
    assert last in place
    return place, last


@pytest.mark.parametrize("build", [by_hand, *([by_kubectl] if shutil.which("kubectl") else [])])
def test_kustomize_builds_what_is_valid_and_tells_every_agent_how_many_there_are(
    build: Callable[[Path], list[dict[str, Any]]], tmp_path: Path
) -> None:
    """With another number of agents, as a base of one's own has it. Debian 12's kubectl knows no replacements."""
    shutil.copytree(FOLDER, tmp_path / "base")
    overlay = (FOLDER / "kustomization.yaml").read_text().replace("count: 3", "count: 5")
    (tmp_path / "base" / "kustomization.yaml").write_text(overlay)
    resources = {resource["kind"]: resource for resource in build(tmp_path / "base")}
    assert [fault for resource in resources.values() for fault in faults(resource, VERSIONS[-1])] == []
    assert set(resources) == {resource["kind"] for resource in RESOURCES.values()} | {"ConfigMap"}
    spec = resources["StatefulSet"]["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert (spec["replicas"], container["env"][1]) == (5, {"name": "SHARDS", "value": "5"})
    assert container["image"] == "registry.example.org/smtpcheck:latest"
    assert resources["ConfigMap"]["data"] == {"checks.yaml": (FOLDER / "checks.yaml").read_text()}
    assert resources["ConfigMap"]["metadata"]["name"] in str(spec["template"]["spec"]["volumes"])
    assert {resource["metadata"].get("namespace", "smtpcheck") for resource in resources.values()} == {"smtpcheck"}
