"""What a service account may do, found out by doing it with its token: every verb of every resource, in its own namespace, in
another one and in the whole cluster. Nothing is changed by it."""

import re

OTHER = "kube-system"
CALLS = {
    "get": ("GET", {}), "list": ("GET", {}), "watch": ("GET", {"watch": "1", "timeoutSeconds": "1"}),
    "create": ("POST", {"dryRun": "All"}), "update": ("PUT", {"dryRun": "All"}), "patch": ("PATCH", {"dryRun": "All"}),
    "delete": ("DELETE", {"dryRun": "All"}), "deletecollection": ("DELETE", {"dryRun": "All"}),
}
# Verbs that are about all objects, or about one that isn't there yet.
NAMELESS = {"list", "watch", "create", "deletecollection"}
PATHS = ["/version", "/readyz", "/openapi/v3", "/metrics", "/logs/", "/debug/pprof/"]


def allowed(user, method, path, **query):
    body = {"none": "such"} if method in ("POST", "PUT", "PATCH") else None
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
    status, text, _ = user.ask(method, path, body, headers, **query)
    if status == 401:
        raise RuntimeError(f"who asks isn't known: {text}")
    # Admission forbids too, but says it otherwise.
    return not (status == 403 and re.search(r'User \\?"[^"]*\\?" cannot ', text))


def rights(user, namespace, resources):
    """(where, resource) → verbs."""
    found = {}

    def ask(where, name, verb, *call, **query):
        if allowed(user, *call, **query):
            found.setdefault((where, name), set()).add(verb)

    for resource in resources:
        places = {"own": namespace, "other": OTHER, "cluster": None} if resource.namespaced else {"cluster": None}
        for verb in resource.verbs:
            method, query = CALLS[verb]
            nameless = verb in NAMELESS and "/" not in resource.name
            for where, place in places.items():
                if resource.namespaced and not place and verb not in ("list", "watch"):
                    continue
                ask(where, str(resource), verb, method, resource.path(place, None if nameless else "none"), **query)
    for path in PATHS:
        ask("cluster", path, "get", "GET", path)
    status, _, _ = user.ask("GET", "/api", headers={"Impersonate-User": "system:admin"})
    if status != 403:
        found["cluster", "users"] = {"impersonate"}
    return found


def token(cluster, namespace, account):
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return cluster.must("POST", path, {"spec": {"expirationSeconds": 600}})["status"]["token"]


def rows(account, found):
    return {f"{account}\t{where}\t{resource}\t{','.join(sorted(verbs))}" for (where, resource), verbs in found.items()}
