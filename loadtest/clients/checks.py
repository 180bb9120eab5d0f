"""Runs the clients and compares Weir's answers with what they sent."""

import os
import sys
import time
import uuid

import collector
import python_sdk
import weir

outcomes = []


def check(what, ask, expected):
    """One line: passed, or what came instead."""
    answer = weir.wait_until(ask, expected)
    outcomes.append(answer == expected)
    print(f"ok      {what}" if answer == expected else f"FAILED  {what}: {answer}, expected {expected}", flush=True)


def check_edges(client, expected, environment, since_s):
    clickhouse, api = os.environ["WEIR_TEST_CLICKHOUSE"], os.environ["WEIR_TEST_API"]
    check(f"{client}: edges in ClickHouse", lambda: weir.table_edges(clickhouse, environment), expected)
    check(f"{client}: edges in the API", lambda: weir.api_edges(api, environment, since_s), expected)
    check(f"{client}: both sides of every call met", lambda: weir.unpaired_calls(clickhouse, environment), 0)


def main():
    clickhouse = os.environ["WEIR_TEST_CLICKHOUSE"]
    grpc, http, kafka = (os.environ[f"WEIR_TEST_{what}"] for what in ("GRPC", "HTTP", "KAFKA"))
    run, since_s = uuid.uuid4().hex[:8], int(time.time()) - 1

    environment = f"python-sdk-{run}"
    edges = python_sdk.run(grpc, http, environment)
    check_edges("Python SDK", edges, environment, since_s)
    check("Python SDK: spans", lambda: weir.stored_spans(clickhouse, environment), 4 * python_sdk.REQUESTS)

    environment = f"collector-{run}"
    edges, ids = collector.run(os.environ["WEIR_TEST_OTELCOL"], kafka, grpc, environment)
    check_edges("collector", edges, environment, since_s)
    check("collector: spans", lambda: weir.stored_spans(clickhouse, environment), 4 * collector.REQUESTS)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="ascii") as file:
            file.write("".join(f"{each}\n" for each in ids))

    print(f"{sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
