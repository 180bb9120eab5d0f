"""The spans of one trace over two roads: one service through a real OpenTelemetry Collector into Kafka, the other
through ingest, the roads changed with every trace."""

import contextlib
import os
import pathlib
import socket
import subprocess
import tempfile
import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from services import Service, get, provider

REQUESTS = 80


@contextlib.contextmanager
def running(program, kafka):
    """A collector with `collector.yaml`; gives its OTLP endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = pathlib.Path(__file__).with_name("collector.yaml")
    environment = dict(os.environ, WEIR_TEST_KAFKA=kafka, COLLECTOR_GRPC_PORT=str(port))
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([program, "--config", str(config)], env=environment, stderr=log)
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            # It exports what it still holds before it ends.
            process.terminate()
            if process.wait(timeout=60):
                log.seek(0)
                print(log.read().decode(errors="replace")[-4000:])


def wait_for(port, process):
    """Returns when somebody listens."""
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError("the collector ended")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the collector does not listen")


def run(program, kafka, grpc, environment):
    """Sends the requests; answers with the expected edges, (client, server) → (calls, errors), and the ids of the
    traces, in hex."""
    ids = []
    with running(program, kafka) as collector:
        spans = {
            (service, road): provider(service, environment, OTLPSpanExporter(endpoint=road, insecure=True))
            for service in ("split-front", "split-back")
            for road in (collector, grpc)
        }

        def road_of(service):
            """Even requests: the first service through the collector; odd ones: the second."""

            def choose(path):
                even = int(path.split("=")[1]) % 2 == 0
                return spans[service, collector if even == (service == "split-front") else grpc]

            return choose

        def answer(service, _):
            service.query("SELECT 1")
            return 200

        def ask(service, path):
            ids.append(format(trace.get_current_span().get_span_context().trace_id, "032x"))
            return service.call(back, path)

        back = Service("split-back", road_of("split-back"), answer)
        front = Service("split-front", road_of("split-front"), ask, operation="split")
        for number in range(REQUESTS):
            get(f"http://127.0.0.1:{front.port}/split?n={number}", {})
        for each in (front, back):
            each.stop()
        for each in spans.values():
            each.shutdown()
    edges = {
        ("user", "split-front"): (REQUESTS, 0),
        ("split-front", "split-back"): (REQUESTS, 0),
        ("split-back", "postgresql:shop-db/orders"): (REQUESTS, 0),
    }
    return edges, ids
