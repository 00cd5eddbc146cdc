"""The manifests for Kubernetes: valid by the schemas, consistent with each other, and such that the agent runs.

Rules of this file:
- What is checked is what kustomize builds, of the base alone and of an overlay with each of its components.
"""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from dashboards import FILES
from smtpcheck.agent.agent import DRAIN_SECONDS
from smtpcheck.cli import app
from smtpcheck.config import load, parse_listen
from smtpcheck.diagnosis.catalogue import load as load_catalogue
from smtpcheck.model.shard import Shard, parse_shard
from smtpcheck.web import create_app
from tests.real.daemon import real_binary
from tests.web.world import rich_world

FOLDER = Path(__file__).parent.parent.parent / "dashboards" / "kubernetes"
COMPONENTS = tuple(sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml")))
OVERLAYS = ((), *((component,) for component in COMPONENTS), COMPONENTS)
"""The base, the base with each component, and with all of them."""
VERSIONS = ("1.29", "1.37")
"""The oldest and the newest Kubernetes that the manifests are held against."""
USER = 65532
"""Of the container image."""

Resources = dict[str, dict[str, Any]]
"""By kind, for there is one of each."""


def parsed(path: Path) -> dict[str, Any]:
    """Return the resource of a file, with numbers as Kubernetes reads them (0440 is octal)."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def build(folder: Path) -> Resources:
    """Return what kustomize makes of a folder. It must have nothing to say, such as that a key is deprecated."""
    done = subprocess.run(
        [real_binary("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    resources = list(yaml.safe_load_all(done.stdout))
    by_kind = {resource["kind"]: resource for resource in resources}
    assert len(by_kind) == len(resources)
    return by_kind


def overlay(folder: Path, components: tuple[str, ...], **more: Any) -> Resources:
    """Return what a user's own kustomization.yaml makes of the base and components."""
    shutil.copytree(FOLDER, folder / "kubernetes")
    own = {
        "resources": ["../kubernetes"],
        "components": [f"../kubernetes/{component}" for component in components],
        **more,
    }
    (folder / "own").mkdir()
    (folder / "own" / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return build(folder / "own")


@pytest.fixture(params=OVERLAYS, ids=lambda components: "+".join(components) or "base", scope="module")
def resources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Return the resources of each overlay."""
    return overlay(tmp_path_factory.mktemp("overlay"), request.param)


@pytest.fixture(scope="module")
def base() -> Resources:
    """Return what `kubectl apply -k dashboards/kubernetes` applies."""
    return build(FOLDER)


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


def pod(resources: Resources) -> dict[str, Any]:
    spec: dict[str, Any] = resources["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def container(resources: Resources) -> dict[str, Any]:
    (only,) = pod(resources)["containers"]
    assert isinstance(only, dict)
    return only


def environment(resources: Resources) -> dict[str, Any]:
    return {each["name"]: each.get("value") for each in container(resources).get("env", ())}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid(resources: Resources, version: str) -> None:
    assert list(itertools.chain.from_iterable(faults(resource, version) for resource in resources.values())) == []


def test_a_wrong_key_is_found(resources: Resources) -> None:
    """The check above can fail, for every kind."""
    for resource in resources.values():
        place = "data" if resource["kind"] in {"ConfigMap", "ServiceAccount"} else "spec"
        broken = {**resource, place: {**resource.get(place, {}), "podMetricsEndpoint": []}}
        assert faults(broken, VERSIONS[-1]) != []


def test_every_file_is_used() -> None:
    """A manifest that no kustomization lists would be applied by nobody."""
    for folder in (FOLDER, *(FOLDER / component for component in COMPONENTS)):
        wanted = parsed(folder / "kustomization.yaml")
        named = {
            *wanted.get("resources", ()),
            *(patch["path"] for patch in wanted.get("patches", ()) if "path" in patch),
            *(name for each in wanted.get("configMapGenerator", ()) for name in each["files"]),
        }
        assert {path.name for path in folder.iterdir() if path.is_file()} == named | {"kustomization.yaml"}


def test_the_base_needs_nothing_but_kubernetes(base: Resources) -> None:
    """No operator, no admission webhook, and a key of kustomize that every kubectl knows."""
    assert set(base) == {"Namespace", "ServiceAccount", "StatefulSet", "Service", "NetworkPolicy", "ConfigMap"}
    assert set(parsed(FOLDER / "kustomization.yaml")) <= {
        *("apiVersion", "kind", "namespace", "resources", "configMapGenerator", "generatorOptions", "images")
    }
    assert {resource["metadata"].get("namespace", "smtpcheck") for resource in base.values()} == {"smtpcheck"}


def test_the_rules_are_those_of_the_folder_above() -> None:
    name = "kubernetes/prometheus-operator/prometheus-rule.yaml"
    assert (FOLDER.parent / name).read_text() == FILES[name]()


def test_the_configuration_is_good(base: Resources) -> None:
    """But for the secret, which is in the cluster; its file is where the Secret is mounted."""
    loaded = load([FOLDER / "checks.yaml"])
    assert loaded.settings
    assert ["/run/secrets/smtpcheck/contoso" in str(problem) for problem in loaded.problems] == [True]
    assert base["ConfigMap"]["data"] == {"checks.yaml": (FOLDER / "checks.yaml").read_text()}
    (mounted,) = [volume["configMap"]["name"] for volume in pod(base)["volumes"] if "configMap" in volume]
    assert mounted == base["ConfigMap"]["metadata"]["name"]


def test_a_configuration_that_is_changed_in_place_is_reloaded(base: Resources) -> None:
    """A name without a hash stays the same, so nothing restarts the agent."""
    assert base["ConfigMap"]["metadata"]["name"] == "smtpcheck"
    assert "--config.auto-reload" in container(base)["args"]


def test_an_overlay_brings_its_own_configuration_and_image(tmp_path: Path, base: Resources) -> None:
    """Under the name that the base gives the ConfigMap, so that it is reloaded there too."""
    built = overlay(
        tmp_path,
        (),
        images=[{"name": "registry.example.org/smtpcheck", "newName": "example/smtpcheck", "newTag": "1.0"}],
        configMapGenerator=[
            {
                "name": "smtpcheck",
                "namespace": "smtpcheck",
                "behavior": "replace",
                "literals": ["checks.yaml=checks: []"],
            }
        ],
    )
    assert container(built)["image"] == "example/smtpcheck:1.0"
    assert built["ConfigMap"]["data"] == {"checks.yaml": "checks: []"}
    assert built["ConfigMap"]["metadata"]["name"] == base["ConfigMap"]["metadata"]["name"]


def test_one_agent_runs_all_checks_and_nothing_keeps_its_node_from_being_drained(base: Resources) -> None:
    assert base["StatefulSet"]["spec"]["replicas"] == 1
    assert not [argument for argument in container(base)["args"] if argument.startswith("--shard")]
    assert "PodDisruptionBudget" not in base


def number_of_shards(resources: Resources) -> int:
    """Return how many agents a StatefulSet has; each knows its number and theirs."""
    (option,) = [argument for argument in container(resources)["args"] if argument.startswith("--shard=")]
    count = resources["StatefulSet"]["spec"]["replicas"]
    given = option.removeprefix("--shard=").replace("$(SHARDS)", environment(resources)["SHARDS"])
    numbers = [parse_shard(given.replace("$(POD_NAME)", f"smtpcheck-{number}")) for number in range(count)]
    assert numbers == [Shard(number, count) for number in range(count)]
    assert isinstance(count, int)
    return count


def test_each_pod_is_a_shard_of_as_many_as_there_are(tmp_path: Path) -> None:
    """The name of the pod is its number; how many there are is written once, and kustomize copies it."""
    assert number_of_shards(overlay(tmp_path / "three", ("shards",))) == 3
    shutil.copytree(FOLDER, tmp_path / "five" / "kubernetes")
    copied = tmp_path / "five" / "kubernetes" / "shards" / "kustomization.yaml"
    copied.write_text(copied.read_text().replace("count: 3", "count: 5"))
    (tmp_path / "five" / "own").mkdir()
    (tmp_path / "five" / "own" / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../kubernetes"], "components": ["../kubernetes/shards"]})
    )
    assert number_of_shards(build(tmp_path / "five" / "own")) == 5


def test_shards_are_evicted_one_at_a_time(tmp_path: Path) -> None:
    built = overlay(tmp_path, ("shards",))
    budget = built["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == built["StatefulSet"]["spec"]["selector"]
    (spread,) = pod(built)["topologySpreadConstraints"]
    assert spread["labelSelector"] == built["StatefulSet"]["spec"]["selector"]


def options(resources: Resources) -> dict[str, str]:
    return {name: value for name, _, value in (argument.partition("=") for argument in container(resources)["args"])}


def test_the_command_is_one_that_the_agent_takes(resources: Resources) -> None:
    given = options(resources)
    assert given["--config.file"].startswith(volume_mounts(resources)["config"])
    assert parse_listen(given["--web.listen-address"])[1] == container(resources)["ports"][0]["containerPort"]
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    command, *names = given
    assert command == "run"
    assert {name for name in names if not re.search(rf"(?<!\S){re.escape(name)}(?!\S)", shown)} == set()


def volume_mounts(resources: Resources) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container(resources)["volumeMounts"]}


def test_the_pod_keeps_to_the_restricted_standard(resources: Resources) -> None:
    """Pod Security Standards, level restricted (https://kubernetes.io/docs/concepts/security/pod-security-standards/)."""
    context = pod(resources)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == USER
    assert f"USER {USER}:{USER}\n" in (FOLDER.parent.parent / "Dockerfile").read_text()
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(resources)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert resources["Namespace"]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_the_agent_has_no_right_in_the_cluster(resources: Resources) -> None:
    """Its account has a name for issuers, and no role; the pod gets no token for the cluster's API."""
    assert pod(resources)["serviceAccountName"] == resources["ServiceAccount"]["metadata"]["name"] == "smtpcheck"
    assert pod(resources)["automountServiceAccountToken"] is False
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} & set(resources)


def test_what_is_written_is_kept_and_nothing_else_can_be_written(resources: Resources) -> None:
    """The state has a claim of its own for each agent; secrets are files that only the agent's group may read."""
    claims = [claim["metadata"]["name"] for claim in resources["StatefulSet"]["spec"]["volumeClaimTemplates"]]
    writable = [mount["name"] for mount in container(resources)["volumeMounts"] if not mount.get("readOnly")]
    assert claims == writable == ["state"]
    assert volume_mounts(resources)["state"] == "/var/lib/smtpcheck"
    (secret,) = [volume["secret"] for volume in pod(resources)["volumes"] if "secret" in volume]
    assert secret == {"secretName": "smtpcheck", "defaultMode": 0o440}
    assert len(set(volume_mounts(resources))) == len(pod(resources)["volumes"]) + len(claims)


def test_a_token_of_the_cluster_takes_the_place_of_a_client_secret(tmp_path: Path) -> None:
    """With the configuration and the subject that the component's head names."""
    head = (FOLDER / "workload-identity" / "kustomization.yaml").read_text()
    built = overlay(tmp_path, ("workload-identity",))
    (volume,) = [each for each in pod(built)["volumes"] if "projected" in each]
    (token,) = [source["serviceAccountToken"] for source in volume["projected"]["sources"]]
    path = f"{volume_mounts(built)[volume['name']]}/{token['path']}"
    assertion = f"client_assertion: {{file: {path}}}"
    assert assertion in head
    account = built["ServiceAccount"]["metadata"]
    assert f"system:serviceaccount:{account['namespace']}:{account['name']}\n" in head
    with_secret = (FOLDER / "checks.yaml").read_text()
    without = re.sub(
        r"client_secret: .*\n", f"{assertion}\n", re.sub(r" *client_secret_expires: .*\n", "", with_secret)
    )
    (tmp_path / "checks.yaml").write_text(without)
    loaded = load([tmp_path / "checks.yaml"])
    assert loaded.settings and [path in str(problem) for problem in loaded.problems] == [True]


PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def paths_of_the_page() -> Iterator[str]:
    for route in create_app(rich_world(load_catalogue())).router.routes():
        if route.resource:
            yield route.resource.canonical


def test_probes_ask_what_the_agent_answers(base: Resources) -> None:
    """The agent is healthy before it has loaded everything; until it is ready nothing may restart it."""
    asked = {probe: container(base)[probe]["httpGet"]["path"] for probe in PROBES}
    assert asked == {"startupProbe": "/-/ready", "livenessProbe": "/-/healthy", "readinessProbe": "/-/ready"}
    assert set(asked.values()) <= set(paths_of_the_page())
    assert {container(base)[probe]["httpGet"]["port"] for probe in PROBES} == {container(base)["ports"][0]["name"]}


def test_prometheus_scrapes_what_the_agent_answers() -> None:
    (endpoint,) = parsed(FOLDER / "prometheus-operator" / "pod-monitor.yaml")["spec"]["podMetricsEndpoints"]
    assert endpoint["path"] in set(paths_of_the_page())


def test_the_end_of_the_agent_is_waited_for(base: Resources) -> None:
    """Of a reload, of the runs (a token and the SMTP part, by their default limits), and of messages being sent."""
    loaded = load([FOLDER / "checks.yaml"]).settings
    assert loaded
    (check,) = loaded.checks
    longest = 2 * DRAIN_SECONDS + check.timeout + check.token_timeout
    assert pod(base)["terminationGracePeriodSeconds"] >= longest


def test_the_ports_that_checks_need_are_open(base: Resources) -> None:
    """Submission, HTTPS, IMAP by TLS and DNS; the head of the file says what is not."""
    opened = {
        (port["protocol"], port["port"]) for rule in base["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]
    }
    assert opened == {("TCP", port) for port in (53, 443, 465, 587, 993)} | {("UDP", 53)}
    head = (FOLDER / "network-policy.yaml").read_text().partition("apiVersion")[0]
    assert {"143", "9093", "4318", "80", "169.254.169.254"} <= set(re.findall(r"[\d.]*\d", head))


def test_everything_selects_the_pods(tmp_path: Path) -> None:
    built = overlay(tmp_path, COMPONENTS)
    labels = built["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert built["Service"]["spec"]["selector"] == labels
    assert built["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": labels}
    assert built["PodMonitor"]["spec"]["selector"] == {"matchLabels": labels}
    assert built["StatefulSet"]["spec"]["selector"] == {"matchLabels": labels}
    assert built["StatefulSet"]["spec"]["serviceName"] == built["Service"]["metadata"]["name"]


def test_the_image_is_named_once(base: Resources) -> None:
    assert container(base)["image"] == "registry.example.org/smtpcheck:latest"
