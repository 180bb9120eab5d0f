"""A Kubernetes API server, asked as one user."""

import json
import os
import ssl
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import yaml


@dataclass(frozen=True)
class Resource:
    """What discovery says of a resource, or of a part of one, such as pods/log."""

    group: str
    version: str
    name: str
    kind: str
    namespaced: bool
    verbs: tuple

    def path(self, namespace=None, name=None):
        resource, _, part = self.name.partition("/")
        folders = ["apis", self.group, self.version] if self.group else ["api", self.version]
        folders += ["namespaces", namespace, resource] if namespace else [resource]
        return "/" + "/".join(folders + [each for each in (name, part) if each])

    def __str__(self):
        return f"{self.name}.{self.group}" if self.group else self.name


class Cluster:
    def __init__(self, host, trusted, token):
        self.host, self.trusted, self.token = host, trusted, token
        self.connection = HTTPSConnection(host, context=trusted, timeout=60)

    @classmethod
    def here(cls):
        """That of KUBECONFIG."""
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        cluster = config["clusters"][0]["cluster"]
        trusted = ssl.create_default_context(cafile=cluster["certificate-authority"])
        return cls(urlsplit(cluster["server"]).netloc, trusted, config["users"][0]["user"]["token"])

    def known_as(self, token):
        return Cluster(self.host, self.trusted, token)

    def ask(self, method, path, body=None, headers={}, **query):
        """Status, text and warnings."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **headers}
        self.connection.request(method, f"{path}?{urlencode(query)}", json.dumps(body) if body else None, headers)
        answer = self.connection.getresponse()
        warnings = answer.headers.get_all("Warning") or []
        return answer.status, answer.read().decode(), warnings

    def must(self, method, path, body=None, headers={}, **query):
        status, text, _ = self.ask(method, path, body, headers, **query)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {text}")
        return json.loads(text)

    def get(self, path, **query):
        return self.must("GET", path, **query)

    def items(self, path, **query):
        return self.get(path, **query)["items"]

    def resources(self):
        """All of them and their parts, each once, in the version that the server prefers."""
        wanted = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
        found = {}
        for root in ("/api", "/apis"):
            for group in self.must("GET", root, headers=wanted)["items"]:
                for version in group["versions"]:
                    for each in version["resources"]:
                        for part in [each, *each.get("subresources", [])]:
                            name = "/".join([each["resource"], part["subresource"]] if part is not each else [each["resource"]])
                            resource = Resource(group["metadata"].get("name", ""), version["version"], name,
                                                (part.get("responseKind") or {}).get("kind"),
                                                each["scope"] == "Namespaced", tuple(part["verbs"]))
                            found.setdefault(str(resource), resource)
        return list(found.values())
