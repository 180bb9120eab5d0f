"""Installs the Helm chart in a real control plane with simulated nodes, changes it, goes back and takes it away, and compares what
its accounts may do and who may reach whom with what rights.tsv and reach.tsv say.

Run by tools/with-kubernetes. With --write the two tables are made anew."""

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

import network
import rights
from cluster import Cluster

FOLDER = Path(__file__).parent
CHART = FOLDER.parent.parent / "deploy/services/helm/flow-tracing"
VALUES = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
DEFINITIONS = Path(os.environ["WEIR_CACHE"]) / "resource-schemas/definitions.json"
NAMESPACE, RELEASE = "weir", "weir"
OBJECTS = f"/api/v1/namespaces/{NAMESPACE}"
OWN = {"labelSelector": f"app.kubernetes.io/instance={RELEASE}"}
WAIT = ["--wait", "--timeout", "2m"]


class Fault(Exception):
    """What isn't as it should be, in one sentence."""


def must(condition, sentence):
    if not condition:
        raise Fault(sentence)


def until(what, question, seconds=60):
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        must(time.monotonic() < deadline, f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return answer


def helm(*args):
    result = subprocess.run(["helm", *args, "--namespace", NAMESPACE], capture_output=True, text=True)
    must(result.returncode == 0, f"helm {' '.join(map(str, args))}: {result.stderr.strip()}")
    return result.stdout


def prepare(cluster):
    """A namespace that enforces the restricted standard and warns of what wouldn't fulfil it, two others, and custom resources.
    Returns all resources that there are now."""
    level = {f"pod-security.kubernetes.io/{each}": "restricted" for each in ("enforce", "warn")}
    for name, labels in ((NAMESPACE, level), ("shop", {}), ("billing", {})):
        cluster.must("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    definitions = json.loads(DEFINITIONS.read_text())
    for definition in definitions:
        cluster.must("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    for namespace in (NAMESPACE, "shop", "billing"):
        until(f"accounts of {namespace}", lambda: cluster.items(f"/api/v1/namespaces/{namespace}/serviceaccounts"))
    root = {"metadata": {"name": "root"}, "spec": {"containers": [{"name": "root", "image": "root"}]}}
    status, text, _ = cluster.ask("POST", f"{OBJECTS}/pods", root)
    must(status == 403 and "restricted" in text, f"a pod that may run as root is not refused: {text}")
    custom = {definition["spec"]["names"]["kind"] for definition in definitions}

    def resources():
        found = cluster.resources()
        return found if custom <= {each.kind for each in found} else None

    return until("custom resources", resources)


def rendered(values):
    text = helm("template", RELEASE, CHART, "--values", values)
    return [item for item in yaml.safe_load_all(text) if item]


def accepted(cluster, resources, item):
    """The object as the API server would store it: nothing in it is unknown or out of date."""
    if item["kind"] == "Pod":
        # A pod is refused as long as its account and its class aren't there; a template of it isn't.
        item = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": item["metadata"],
                "template": {"metadata": item["metadata"], "spec": item["spec"]}}
    group, _, version = item["apiVersion"].rpartition("/")
    what = item["kind"], group, version
    resource = next((each for each in resources if (each.kind, each.group, each.version) == what and "/" not in each.name), None)
    must(resource, f"{item['apiVersion']} isn't the server's {item['kind']}")
    path = resource.path(item["metadata"]["namespace"] if resource.namespaced else None)
    status, text, warnings = cluster.ask("POST", path, item, dryRun="All", fieldValidation="Strict")
    must(status == 201 and not warnings, f"{item['kind']} {item['metadata']['name']}: {status} {text} {warnings}")
    return {**json.loads(text), "kind": item["kind"]}


def strict(cluster, resources):
    """Objects of each set of values, once the server has taken them."""
    stored = {name: [accepted(cluster, resources, item) for item in rendered(values)] for name, values in VALUES.items()}
    wrong = next(item for item in rendered(VALUES["small"]) if item["kind"] == "NetworkPolicy")
    wrong["spec"]["policyType"] = ["Egress"]
    try:
        accepted(cluster, resources, wrong)
    except Fault:
        return stored
    raise Fault("a field that doesn't exist is taken")


def everything(cluster, resources):
    """Names of all objects but events, which are what has been."""
    return {
        (str(resource), item["metadata"].get("namespace"), item["metadata"]["name"])
        for resource in resources if "list" in resource.verbs and not str(resource).startswith("events")
        for item in cluster.items(resource.path())
    }


def workloads(cluster):
    return {
        f"{kind}/{item['metadata']['name']}": {**item, "kind": kind}
        for group, kind in (("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"), ("batch", "jobs"))
        for item in cluster.items(f"/apis/{group}/v1/namespaces/{NAMESPACE}/{kind}", **OWN)
    }


def templates(cluster):
    return {name: item["spec"]["template"]["spec"] for name, item in workloads(cluster).items()}


def waiting(cluster):
    """What doesn't run as it is described, as sentences."""
    nodes = cluster.items("/api/v1/nodes")
    for name, item in workloads(cluster).items():
        status, kind = item["status"], item["kind"]
        if kind == "jobs":
            if status.get("succeeded") != 1:
                yield f"{name} is not complete"
            continue
        wanted = len(nodes) if kind == "daemonsets" else item["spec"]["replicas"]
        counts = ("numberReady", "updatedNumberScheduled", "currentNumberScheduled") if kind == "daemonsets" else \
            ("replicas", "readyReplicas", "updatedReplicas")
        if any(status.get(count, 0) != wanted for count in counts) or status["observedGeneration"] != item["metadata"]["generation"]:
            yield f"{name} should be {wanted}: {status}"
    ready = {}
    for pod in cluster.items(f"{OBJECTS}/pods", **OWN):
        name, phase = pod["metadata"]["name"], pod["status"]["phase"]
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        if "deletionTimestamp" in pod["metadata"] or not (
                phase == "Succeeded" or phase == "Running" and conditions.get("Ready") == "True" and pod["spec"]["nodeName"]):
            yield f"{name} is {phase}, {conditions}"
        ready.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/component"], []).append(name)
    for service in cluster.items(f"{OBJECTS}/services", **OWN):
        name = service["metadata"]["name"]
        slices = cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
                               labelSelector=f"kubernetes.io/service-name={name}")
        there = [each for one in slices for each in one["endpoints"] or [] if each["conditions"]["ready"]]
        wanted = len(ready.get(service["spec"]["selector"]["app.kubernetes.io/component"], []))
        if len(there) != wanted or any(len(one["ports"]) != len(service["spec"]["ports"]) for one in slices if there):
            yield f"service {name} leads to {len(there)} pods of {wanted}"
    for budget in cluster.items(f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets", **OWN):
        if budget["status"]["disruptionsAllowed"] != budget["spec"]["maxUnavailable"]:
            yield f"budget {budget['metadata']['name']}: {budget['status']}"


def runs(cluster):
    """Helm has waited for the workloads; services and budgets follow a moment later."""
    deadline = time.monotonic() + 30
    while (faults := list(waiting(cluster))) and time.monotonic() < deadline:
        time.sleep(0.2)
    must(not faults, "; ".join(faults))
    return {pod["metadata"]["name"]: pod for pod in cluster.items(f"{OBJECTS}/pods", **OWN)}


def complete(cluster, pods):
    """Pods name no ConfigMap that isn't there, and have a token only where Kubernetes is asked something."""
    maps = {item["metadata"]["name"] for item in cluster.items(f"{OBJECTS}/configmaps")}
    for name, pod in pods.items():
        volumes = pod["spec"].get("volumes", [])
        missing = {each["configMap"]["name"] for each in volumes if "configMap" in each} - maps
        must(not missing, f"{name} needs the ConfigMap {missing}")
        token = any("projected" in each for each in volumes)
        collects = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "otel-collector"
        must(token == collects, f"{name} {'has a' if token else 'needs its'} token")


def test_hook(cluster):
    """`helm test` with the end of its pod played, since nothing runs in it: it says what the pod said."""
    for phase in ("Failed", "Succeeded"):
        helm_test = subprocess.Popen(["helm", "test", RELEASE, "--namespace", NAMESPACE, "--timeout", "1m"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = f"{OBJECTS}/pods/weir-flow-tracing-test"

        def running():
            status, text, _ = cluster.ask("GET", path)
            return status == 200 and json.loads(text)["status"]["phase"] == "Running"

        until("the pod of the test", running)
        cluster.must("PATCH", f"{path}/status", {"status": {"phase": phase}}, {"Content-Type": "application/merge-patch+json"})
        must((helm_test.wait(60) == 0) == (phase == "Succeeded"), f"helm test is wrong about a pod that has {phase.lower()}")


def compare(table, found):
    """With what is checked in."""
    path = FOLDER / table
    lines = path.read_text().splitlines()
    if "--write" in sys.argv:
        head = [line for line in lines if line.startswith("#")]
        path.write_text("\n".join(head + sorted(found)) + "\n")
        return
    known = {line for line in lines if not line.startswith("#")}
    differences = [f"+ {row}" for row in sorted(found - known)] + [f"- {row}" for row in sorted(known - found)]
    must(not differences, "\n".join([f"{table} says otherwise:", *differences]))


def accounts(cluster, resources):
    """Of the chart's accounts, what each may beyond what every account may."""
    names = [item["metadata"]["name"] for item in cluster.items(f"{OBJECTS}/serviceaccounts", **OWN)]

    def ask(name, some=resources):
        return rights.rights(cluster.known_as(rights.token(cluster, NAMESPACE, name)), NAMESPACE, some)

    every = ask("default")
    table = rights.rows("every account", every)
    for name in names:
        beyond = {key: verbs - every.get(key, set()) for key, verbs in ask(name).items()}
        table |= rights.rows(name, {key: verbs for key, verbs in beyond.items() if verbs})
    compare("rights.tsv", table)
    # A right too many is noticed.
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings"
    cluster.must("POST", bindings, {
        "metadata": {"name": "planted"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": names[0], "namespace": NAMESPACE}]})
    secrets = [each for each in resources if each.name == "secrets"]
    until("a planted right", lambda: ("own", "secrets") in ask(names[0], secrets))
    cluster.must("DELETE", f"{bindings}/planted")
    return names


def reach(stored):
    """Who may reach whom, for each set of values."""
    table = {row for values, objects in stored.items() for row in network.rows(values, objects)}
    compare("reach.tsv", table)
    right = stored["production"]
    policies = {item["metadata"]["name"].removeprefix("weir-flow-tracing-"): item for item in right
                if item["kind"] == "NetworkPolicy"}

    def changed(name, **spec):
        wrong = copy.deepcopy(policies[name])
        wrong["spec"] |= spec
        return [wrong if item is policies[name] else item for item in right]

    planted = {
        "no default": [item for item in right if item is not policies["default-deny"]],
        "a default of another release": changed("default-deny", podSelector={"matchLabels": {"app.kubernetes.io/instance": "other"}}),
        "all pods open to viewers": changed("allow-viewers", podSelector={}),
        "metrics open to all": changed("allow-monitoring", ingress=[{"ports": [{"port": "metrics"}]}]),
        "Kafka anywhere": changed("allow-kafka", egress=[{"ports": [{"port": 9093}]}]),
    }
    for what, objects in planted.items():
        must(network.rows("production", objects) != network.rows("production", right), f"{what}: not noticed")


def main():
    cluster = Cluster.here()
    since = time.monotonic()

    def done(what):
        nonlocal since
        print(f"{what} ({time.monotonic() - since:.1f} s)", flush=True)
        since = time.monotonic()

    resources = prepare(cluster)
    done("a namespace under the restricted standard, custom resources")
    stored = strict(cluster, resources)
    done(f"{sum(map(len, stored.values()))} objects of {len(stored)} sets of values are taken by strict validation")
    reach(stored)
    done("policies let through what reach.tsv says")
    before = everything(cluster, resources)

    def nothing_left():
        # What pods and workloads made follows them a moment later.
        deadline = time.monotonic() + 60
        while (left := everything(cluster, resources) ^ before) and time.monotonic() < deadline:
            time.sleep(0.2)
        must(not left, f"before and after differ by {sorted(map(str, left))}")

    helm("install", RELEASE, CHART, "--values", VALUES["small"], *WAIT)
    first, described = runs(cluster), templates(cluster)
    complete(cluster, first)
    done(f"installed: {len(first)} pods run")
    helm("upgrade", RELEASE, CHART, "--values", VALUES["production"], "--set", "logFilter=debug", *WAIT)
    second = runs(cluster)
    complete(cluster, second)
    uids = {pod["metadata"]["uid"] for pod in first.values()}
    must(all(pod["metadata"]["uid"] not in uids for pod in second.values()), "an upgrade left pods as they were")
    done(f"upgraded: {len(second)} pods run, all of them new")
    names = accounts(cluster, resources)
    done(f"{', '.join(names)} may do what rights.tsv says")
    test_hook(cluster)
    done("helm test says what its pod says")
    helm("rollback", RELEASE, "1", *WAIT)
    back = runs(cluster)
    # But for how many they are: an autoscaler that goes may have had the last word.
    until("pods as they were before the upgrade", lambda: templates(cluster) == described)
    done(f"rolled back: {len(back)} pods run")
    helm("uninstall", RELEASE, *WAIT)
    nothing_left()
    done("uninstalled: nothing is left")
    helm("install", RELEASE, CHART, "--values", VALUES["other-ways"], *WAIT)
    others = runs(cluster)
    helm("uninstall", RELEASE, *WAIT)
    nothing_left()
    done(f"other ways: {len(others)} pods run, nothing is left")


try:
    main()
except Fault as fault:
    sys.exit(f"kubernetes: {fault}")
