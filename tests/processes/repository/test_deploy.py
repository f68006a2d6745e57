"""The examples for systemd, Kubernetes and containers are what their tools and Segue accept."""

from __future__ import annotations

import configparser
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from proxy.configuration.sections import LimitSettings, Timeouts
from proxy.configuration.units import duration
from proxy.control.loading import load
from proxy.tokens.sealing import new_key
from tests.support.checkout import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
KUBERNETES = ROOT / "deploy" / "kubernetes"
DRAIN = float(Timeouts.model_fields["drain"].default)


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read(SYSTEMD / name, encoding="utf-8")
    return parser


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text(encoding="utf-8"))
    return document


def manifests() -> list[str]:
    resources: list[str] = manifest("kustomization.yaml")["resources"]
    return resources


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze: apt install systemd")
    program = Path(sys.executable).parent / "segue"
    for name in ("segue.service", "segue.socket"):
        text = (SYSTEMD / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/opt/segue/bin/segue", str(program)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", "segue.service", "segue.socket"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_leaves_more_time_to_stop_than_a_drain_takes() -> None:
    service = unit("segue.service")["Service"]
    assert duration(service["TimeoutStopSec"]) > DRAIN
    text = (SYSTEMD / "segue.service").read_text(encoding="utf-8")
    reloads = [line for line in text.splitlines() if line.startswith("ExecReload=")]
    segue, config = "/opt/segue/bin/segue", "--config /etc/segue/config.yaml"
    assert reloads == [
        f"ExecReload={segue} validate {config}",
        f"ExecReload={segue} reload {config}",
    ]
    assert (service["Type"], service["WatchdogSec"]) == ("notify", "60")
    assert service["RestartForceExitStatus"] == "SIGHUP"
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    # With ProtectSystem=strict nothing but its state directory can be written.
    assert service["StateDirectory"] == "segue"
    assert service["StateDirectoryMode"] == "0700"
    assert service["LimitCORE"] == "0"
    assert "SEGUE_STATE_DIR=/var/lib/segue" in service["Environment"]
    assert unit("segue.socket")["Socket"]["ListenStream"] == "8080"


def test_configuration_of_the_example_is_valid_with_its_mappings() -> None:
    directory = str(KUBERNETES / "mappings")
    snapshot = load(KUBERNETES / "config.yaml", {"SEGUE_MAPPINGS__DIRECTORY": directory}, {})
    assert snapshot.catalog.names == ("new-to-old", "old-to-new")
    written = yaml.safe_load((KUBERNETES / "config.yaml").read_text(encoding="utf-8"))
    (container,) = manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {
        "config": "/etc/segue",
        "mappings": written["mappings"]["directory"],
        "store": "/run/secrets/segue-store",
        "state": "/run/segue",
    }


def test_replicas_of_the_example_share_a_store_and_its_keys(tmp_path: Path) -> None:
    (container,) = manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    # Where the Unix socket is, that commands in the pod ask by.
    # In the volume, which is open to others, and not the volume itself: that would be refused.
    assert env.pop("SEGUE_STATE_DIR") == "/run/segue/state"
    assert set(env) == {"SEGUE_STORE__URL_FILE", "SEGUE_STORE__KEYS_FILE"}
    (tmp_path / "url").write_text("redis://:password@redis:6379/0\n")
    (tmp_path / "keys").write_text(f"{new_key()}\n{new_key()}\n")
    here = {
        name: path.replace("/run/secrets/segue-store", str(tmp_path)) for name, path in env.items()
    }
    here["SEGUE_MAPPINGS__DIRECTORY"] = str(KUBERNETES / "mappings")
    config = load(KUBERNETES / "config.yaml", here, {}).config
    store = config.store
    assert (store.url, len(store.keys)) == ("redis://:password@redis:6379/0", 2)
    assert config.sessions.enabled, "nothing would use the store"


def test_namespace_of_the_example_is_made_and_the_secret_put_there() -> None:
    namespace = manifest("kustomization.yaml")["namespace"]
    assert "namespace.yaml" in manifests()
    assert manifest("namespace.yaml")["metadata"]["name"] == namespace
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").replace("\\\n", "")
    (secret,) = re.findall(r"^kubectl create secret generic .*$", text, re.MULTILINE)
    assert f" --namespace {namespace} " in secret
    assert text.index("-f deploy/kubernetes/namespace.yaml") < text.index(secret)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "mappings").glob("*.yaml")), ids=lambda path: path.name
)
def test_mappings_of_the_example_are_the_shipped_ones(path: Path) -> None:
    """But for the first line, which says where the schema is."""
    copy = KUBERNETES / "mappings" / path.name
    rest = [file.read_text(encoding="utf-8").split("\n", 1)[1] for file in (path, copy)]
    assert rest[0] == rest[1], f"copy {path.name} into {copy.parent}"


def test_kubernetes_accepts_the_manifests() -> None:
    required = os.environ.get("TESTS_REQUIRE_ALL") == "1"
    find = importlib.import_module if required else pytest.importorskip
    kubernetes = find("kubernetes_validate")
    # These are the Prometheus operator's, whose schemas are not among Kubernetes' own.
    for name in set(manifests()) - {"podmonitor.yaml", "prometheusrule.yaml"}:
        document = manifest(name)
        selector = {"matchLabels": {"app.kubernetes.io/name": "segue"}}
        if document["kind"] == "Deployment":  # kustomize fills these in.
            document["spec"]["selector"] = selector
            document["spec"]["template"]["metadata"] = {"labels": selector["matchLabels"]}
        kubernetes.validate(document, "1.32", strict=True)


def test_kustomize_builds_the_example() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    built = subprocess.run(
        [kubectl, "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=True
    ).stdout
    documents = {document["kind"]: document for document in yaml.safe_load_all(built)}
    assert set(documents) == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "Service",
    }
    namespace = documents.pop("Namespace")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in documents.values()} == {namespace}
    labels = {"app.kubernetes.io/name": "segue"}
    pods = documents["Deployment"]["spec"]["template"]
    assert pods["metadata"]["labels"] == labels
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        assert documents[kind]["spec"]["selector"] == {"matchLabels": labels}
    assert documents["Service"]["spec"]["selector"] == labels
    policy = documents["NetworkPolicy"]["spec"]
    assert policy["podSelector"] == {"matchLabels": labels}
    peers = [
        rule.get(way, [])
        for way, key in (("from", "ingress"), ("to", "egress"))
        for rule in policy[key]
    ]
    assert {name for listed in peers for peer in listed for name in peer} == {"namespaceSelector"}
    assert documents["PrometheusRule"]["spec"] == manifest("prometheusrule.yaml")["spec"]
    volumes = pods["spec"]["volumes"]
    names = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    assert all(re.fullmatch(r"segue-(config|mappings)-[a-z0-9]{10}", name) for name in names)


def test_scraped_pods_bear_the_job_by_which_rules_and_dashboard_know_segue() -> None:
    """Without it, `up{job="segue"}` is empty, and SegueDown and SegueFilesRunningOut silent."""
    label = manifest("podmonitor.yaml")["spec"]["jobLabel"]
    (labels,) = manifest("kustomization.yaml")["labels"]
    job = labels["pairs"][label]
    text = (KUBERNETES / "prometheusrule.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r'job="(\w+)"', text)) == {job}
    prometheus = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert [each["job_name"] for each in yaml.safe_load(prometheus)["scrape_configs"]] == [job]


@pytest.mark.needs_prometheus
def test_rules_of_the_example_are_what_prometheus_reads(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(manifest("prometheusrule.yaml")["spec"]), encoding="utf-8")
    subprocess.run(["promtool", "check", "rules", rules], check=True, capture_output=True)


def test_replicas_follow_a_metric_that_there_is_below_the_limit() -> None:
    scaler = manifest("horizontalpodautoscaler.yaml")["spec"]
    (metric,) = (each["pods"] for each in scaler["metrics"])
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"\n## {metric['metric']['name']}\n" in text
    most = LimitSettings().connections
    assert metric["target"]["averageValue"] == "4k"
    assert most / 2 > 4000, "a replica may take over all clients of another one"
    assert scaler["minReplicas"] >= 3
    # What it says would be undone by each apply.
    assert "replicas" not in manifest("deployment.yaml")["spec"]


def test_the_policy_lets_through_what_the_example_needs() -> None:
    policy = manifest("networkpolicy.yaml")["spec"]
    (container,) = manifest("deployment.yaml")["spec"]["template"]["spec"]["containers"]
    clients, scrapes = policy["ingress"]
    assert [port["port"] for port in clients["ports"]] == ["http"]
    assert "from" not in clients
    assert [port["port"] for port in scrapes["ports"]] == ["admin"]
    assert {port["name"] for port in container["ports"]} == {"http", "admin"}
    (monitoring,) = scrapes["from"]
    assert monitoring["namespaceSelector"]["matchLabels"]
    written = yaml.safe_load((KUBERNETES / "config.yaml").read_text(encoding="utf-8"))
    server = urlsplit(written["upstream"]["url"])
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (store,) = {urlsplit(url) for url in re.findall(r"--from-literal=url=(\S+)", text)}
    allowed = {
        (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
        for rule in policy["egress"]
        for peer in rule["to"]
        for port in rule["ports"]
    }
    needed = {((url.hostname or "").split(".")[1], url.port) for url in (server, store)}
    assert needed | {("kube-system", 53)} == allowed


def test_pod_is_drained_before_it_is_killed_and_may_do_nothing_else() -> None:
    pod = manifest("deployment.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > float(pause) + DRAIN
    probe = container["readinessProbe"]
    assert float(pause) > probe["periodSeconds"] * probe["failureThreshold"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not pod["automountServiceAccountToken"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "admin": 9090}
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness")} == {
        "/readyz"
    }
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_image_runs_without_root_and_is_checked_by_the_command_itself() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (.*)$", text, re.MULTILINE)
    assert user == str(
        manifest("deployment.yaml")["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    )
    assert 'CMD ["segue", "health"]' in text
    assert 'ENTRYPOINT ["segue"]' in text
    variables = dict(re.findall(r"(SEGUE_[A-Z_]+)=(\S+)", text))
    addresses = {"SEGUE_LISTEN__ADDRESS": "0.0.0.0:8080", "SEGUE_ADMIN__ADDRESS": "0.0.0.0:9090"}
    paths = {"SEGUE_CONFIG": "/etc/segue/config.yaml", "SEGUE_STATE_DIR": "/var/lib/segue"}
    assert variables == {**paths, **addresses}
    # All of them are variables that Segue knows.
    load(ROOT / "config.yaml", variables, {})
