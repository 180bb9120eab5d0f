"""Weir's answers, asked for until they are as expected or patience ends."""

import json
import time
import urllib.parse
import urllib.request

PATIENCE_S = 60


def fetch(url, body=None):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=body), timeout=20) as response:
        return response.read()


def rows(clickhouse, query, environment):
    """Rows of a query, in which {environment:String} is bound."""
    parameters = urllib.parse.urlencode(
        {"database": "weir", "default_format": "JSONCompact", "param_environment": environment}
    )
    answer = fetch(f"{clickhouse}/?{parameters}", query.encode())
    return json.loads(answer)["data"]


def table_edges(clickhouse, environment):
    """(client, server) → (calls, errors) from ClickHouse."""
    query = """
        SELECT client, server, toInt32(sum(calls)), toInt32(sum(errors)) FROM edges_1s
        WHERE environment = {environment:String} GROUP BY ALL HAVING sum(calls) != 0"""
    return {(row[0], row[1]): (row[2], row[3]) for row in rows(clickhouse, query, environment)}


def unpaired_calls(clickhouse, environment):
    """Calls between services that were seen from one side only."""
    query = """
        SELECT toInt32(sum(calls - paired)) FROM edges_1s WHERE environment = {environment:String}
        AND client_kind = 'service' AND server_kind = 'service'"""
    return rows(clickhouse, query, environment)[0][0]


def stored_spans(clickhouse, environment):
    """Distinct spans."""
    query = """
        SELECT toInt32(uniqExact(TraceId, SpanId, SpanKind)) FROM otel_traces
        WHERE ResourceAttributes['deployment.environment.name'] = {environment:String}"""
    return rows(clickhouse, query, environment)[0][0]


def api_edges(api, environment, since_s):
    """(client, server) → (calls, errors) from query-api."""
    parameters = urllib.parse.urlencode(
        {"environment": environment, "startTime": since_s * 1_000_000, "endTime": int(time.time() + 1) * 1_000_000}
    )
    graph = json.loads(fetch(f"{api}/api/v1/graph?{parameters}"))
    names = {node["id"]: node["service"]["name"] for node in graph["nodes"]}
    return {
        (names[edge["from"]], names[edge["to"]]): (edge["callCount"], edge["errorCount"]) for edge in graph["edges"]
    }


def wait_until(ask, expected):
    """The last answer: the expected one, or whatever it was when patience ended."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = ask()
        except OSError as problem:
            answer = f"no answer: {problem}"
        if answer == expected or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)
