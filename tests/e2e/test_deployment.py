"""docker/: what the files say agrees with each other and with the server. tests/docker/ builds the images."""
import json
import pathlib
import re
import subprocess

import pytest
import yaml
from harness import BINARY, ROOT

DOCKER = ROOT / "docker"
# Of other exporters, or made by Prometheus itself.
FOREIGN = {"up"}
METRIC = re.compile(r"\b(?:sluice|vllm|process)[:_][a-z0-9_]+")
DOCKERFILES = ["Dockerfile.cpu", "Dockerfile.cuda"]


def documents(path):
    return [document for document in yaml.safe_load_all((DOCKER / path).read_text()) if document]


def manifests():
    """Every object of docker/kubernetes, by kind."""
    files = sorted((DOCKER / "kubernetes").glob("*.yaml"))
    return {document["kind"]: document for file in files for document in documents(file)}


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def environment(container):
    return {variable["name"]: variable["value"] for variable in container["env"]}


# ---- metrics ----


def dashboard_expressions():
    dashboard = json.loads((DOCKER / "grafana/sluice.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def alert_expressions():
    for group in documents("prometheus/alerts.yml")[0]["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def exported(server):
    """The series that a scrape has: {name: label names}."""
    series = {}
    for name, labels in re.findall(r"^([a-z_:0-9]+)(?:\{(.*)\})? ", server.get("/metrics"), re.M):
        series.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return series


@pytest.fixture(scope="module")
def series(server):
    """After an answer, so that what is counted by label is there."""
    assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 3})[0] == 200
    # Counted when the first call ends; the front ends all calls alike.
    subprocess.run([BINARY, "client", "x", "--server", f"127.0.0.1:{server.grpc_port}", "--max-tokens", "2"], check=True)
    return exported(server)


@pytest.mark.parametrize("where, expression", [*dashboard_expressions(), *alert_expressions()])
def test_every_metric_of_dashboard_and_alerts_is_exported(series, where, expression):
    names = set(METRIC.findall(expression))
    assert names or FOREIGN & set(re.findall(r"\w+", expression)), f"{where}: {expression} names no metric"
    assert names <= set(series), f"{where}: no such metric: {names - set(series)}"
    for name, selector in re.findall(r"([a-z_:0-9]+)\{([^}]*)\}", expression):
        # instance and job are Prometheus's own.
        labels = set(re.findall(r"(\w+)=", selector)) - {"instance", "job"}
        assert name in FOREIGN or labels <= series[name], f"{where}: {name} has no label {labels - series[name]}"


def test_the_inference_extension_finds_its_metrics(series):
    assert {"vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"} <= set(series)
    assert {"block_size", "num_gpu_blocks"} <= series["vllm:cache_config_info"]


def test_panels_do_not_overlap():
    taken = set()
    for panel in json.loads((DOCKER / "grafana/sluice.json").read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


# ---- options ----


def option_names():
    shown = subprocess.run([BINARY, "serve", "--print-config"], capture_output=True, text=True, check=True).stdout
    return {"SLUICE_" + line.split(":")[0].upper().replace("-", "_") for line in shown.splitlines()}


def test_every_variable_is_an_option():
    files = [path for path in DOCKER.rglob("*") if path.is_file() and path.name != "README.md"]
    for file in files:
        named = set(re.findall(r"\bSLUICE_[A-Z_]*[A-Z]\b", file.read_text())) - {"SLUICE_COMMIT", "SLUICE_TESTS"}
        assert named <= option_names(), f"{file}: {named - option_names()}"


def test_an_empty_model_is_the_embedded_one(tmp_path):
    """As compose.yaml sets it where MODEL is not set."""
    shown = subprocess.run(
        [BINARY, "serve", "--print-config"], env={"SLUICE_MODEL": ""}, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r'^model: "" ', shown, re.M)


# ---- drain ----


def test_kubernetes_waits_longer_than_the_drain():
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    drain = int(environment(container)["SLUICE_SHUTDOWN_TIMEOUT"])
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= before + drain + 5


def test_compose_waits_longer_than_the_drain():
    service = documents("compose.yaml")[0]["services"]["sluice"]
    assert seconds(service["stop_grace_period"]) >= int(service["environment"]["SLUICE_SHUTDOWN_TIMEOUT"]) + 5


# ---- Kubernetes ----


def test_manifests_name_each_other():
    objects = manifests()
    pod = objects["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    selectors = [
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["InferencePool"]["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels
    service = objects["Service"]
    assert objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    served = {port["name"]: port for port in service["spec"]["ports"]}
    assert all(port["targetPort"] in ports for port in served.values())
    assert {endpoint["port"] for endpoint in objects["ServiceMonitor"]["spec"]["endpoints"]} <= set(served)
    assert {port["number"] for port in objects["InferencePool"]["spec"]["targetPorts"]} == {ports["http"]}
    backend = objects["HTTPRoute"]["spec"]["rules"][0]["backendRefs"][0]
    assert backend["name"] == objects["InferencePool"]["metadata"]["name"]
    assert backend["group"] == objects["InferencePool"]["apiVersion"].split("/")[0]
    listed = objects["Kustomization"]["resources"]
    assert all((DOCKER / "kubernetes" / name).exists() for name in listed)
    assert pod["metadata"]["labels"]["inference.networking.k8s.io/engine-type"] == "vllm"


def test_probes_ask_routes_that_exist(server):
    container = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server.status(container[probe]["httpGet"]["path"]) == 200
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live", "a busy server is not killed"


def test_pods_run_as_the_images_user_and_write_nothing():
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["enableServiceLinks"] is False, "a Service of our name would set SLUICE_PORT"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    for file in DOCKERFILES:
        text = (DOCKER / file).read_text()
        assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in text
        assert "/var/cache/sluice" in {mount["mountPath"] for mount in container["volumeMounts"]} and "/var/cache" in text
        exposed = set(map(int, re.search(r"^EXPOSE (.*)$", text, re.M)[1].split()))
        assert exposed == {port["containerPort"] for port in container["ports"]}


# ---- images and compose ----


@pytest.mark.parametrize("file", DOCKERFILES)
def test_images_check_their_health_and_have_no_root(file):
    final = (DOCKER / file).read_text().split("\nFROM ")[-1]
    assert '["/usr/local/bin/sluice", "healthcheck"]' in final and "SLUICE_HOST=0.0.0.0" in final
    assert "apt-get" not in final and "python" not in final.lower()


def test_the_build_context_has_what_the_build_reads():
    listed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / name).exists() for name in listed)
    folders = re.findall(r"^add_subdirectory\((\w+)\)", (ROOT / "CMakeLists.txt").read_text(), re.M)
    assert set(folders) - {"tests"} <= set(listed)


def test_compose_mounts_what_is_there():
    services = documents("compose.yaml")[0]["services"]
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (DOCKER / source).exists(), source
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "nothing is open to the network"
    target = documents("prometheus/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"][0]
    assert target.split(":")[0] in services and target.endswith(":8000")
    source = documents("grafana/datasource.yaml")[0]["datasources"][0]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in services
    assert set(documents("compose.cuda.yaml")[0]["services"]) <= set(services)
