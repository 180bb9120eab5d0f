"""Who may reach whom, worked out from NetworkPolicies as the network of a cluster would. Addresses are what is outside of the
cluster: blocks of addresses choose nothing else, and selectors choose pods only."""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network


@dataclass(frozen=True)
class Pod:
    name: str
    namespace: str
    labels: dict = field(default_factory=dict)
    # Name → number.
    ports: dict = field(default_factory=dict)

    @property
    def namespace_labels(self):
        """Those that the API server gives to each."""
        return {"kubernetes.io/metadata.name": self.namespace}


@dataclass(frozen=True)
class Address:
    name: str
    ip: str


def reaches(policies, source, target, port, protocol):
    return (opens(policies, source, "Egress", target, target, port, protocol)
            and opens(policies, target, "Ingress", source, target, port, protocol))


def opens(policies, here, direction, there, target, port, protocol):
    """Whether the policies about `here` let it talk with `there` on a port of the target."""
    if isinstance(here, Address):
        return True
    about = [each for each in policies if each["metadata"]["namespace"] == here.namespace
             and direction in each["spec"]["policyTypes"] and chosen(each["spec"]["podSelector"], here.labels)]
    rules = [(each, rule) for each in about for rule in each["spec"].get(direction.lower()) or []]
    peers = "to" if direction == "Egress" else "from"
    return not about or any(
        (not rule.get(peers) or any(is_peer(peer, there, policy["metadata"]["namespace"]) for peer in rule[peers]))
        and (not rule.get("ports") or any(is_port(each, target, port, protocol) for each in rule["ports"]))
        for policy, rule in rules)


def is_peer(peer, there, namespace):
    if block := peer.get("ipBlock"):
        return isinstance(there, Address) and ip_address(there.ip) in ip_network(block["cidr"]) and not any(
            ip_address(there.ip) in ip_network(cidr) for cidr in block.get("except", []))
    if isinstance(there, Address):
        return False
    at_home = chosen(peer["namespaceSelector"], there.namespace_labels) if "namespaceSelector" in peer \
        else there.namespace == namespace
    return at_home and chosen(peer.get("podSelector", {}), there.labels)


def is_port(wanted, target, port, protocol):
    if wanted.get("protocol", "TCP") != protocol:
        return False
    number = wanted.get("port", port)
    if isinstance(number, str):
        return isinstance(target, Pod) and target.ports.get(number) == port
    return number <= port <= wanted.get("endPort", number)


def chosen(selector, labels):
    checks = {
        "In": lambda value, values: value in values, "NotIn": lambda value, values: value not in values,
        "Exists": lambda value, _: value is not None, "DoesNotExist": lambda value, _: value is None,
    }
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        checks[each["operator"]](labels.get(each["key"]), each.get("values"))
        for each in selector.get("matchExpressions", []))


# Who isn't of the release: in every namespace that the values name, in one that they don't, and outside of the cluster.
OTHERS = [
    Pod("an application", "shop"),
    Pod("Prometheus", "monitoring"),
    Pod("the ingress controller", "ingress-nginx"),
    Pod("DNS", "kube-system"),
    Address("Kafka", "10.20.0.5"),
    Address("ClickHouse", "203.0.113.9"),
    Address("the API server", "192.0.2.10"),
    Address("the Internet", "198.51.100.1"),
    Address("the cloud's metadata", "169.254.169.254"),
]


def pods_of(objects):
    """One pod of each component, as its workload describes it."""
    found = {}
    for item in objects:
        pod = item.get("template") or item.get("spec", {}).get("template")
        if not pod:
            continue
        name = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0].get("ports", [])}
        found[name] = Pod(name, item["metadata"]["namespace"], pod["metadata"]["labels"], ports)
    return list(found.values())


def rows(values, objects):
    """What is open where either end is of the release: targets, ports, sources."""
    ours = pods_of(objects)
    everyone = ours + OTHERS
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    ports = {(port, "TCP") for pod in ours for port in pod.ports.values()}
    ports |= {(port, "TCP") for port in (22, 53, 80, 443, 6443, 8123, 8443, 9092, 9093)} | {(53, "UDP")}
    ways = {}
    for target in everyone:
        open_to = {}
        for port, protocol in sorted(ports):
            sources = [each.name for each in (everyone if target in ours else ours)
                       if reaches(policies, each, target, port, protocol)]
            if sources:
                open_to.setdefault(", ".join(sources), []).append(f"{port}/{protocol}")
        for sources, numbers in open_to.items():
            ways.setdefault((", ".join(numbers), sources), []).append(target.name)
    return {f"{values}\t{', '.join(targets)}\t{numbers}\t{sources}" for (numbers, sources), targets in ways.items()}
