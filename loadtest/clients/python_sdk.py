"""Two services of the OpenTelemetry Python SDK, one exporting over gRPC, the other over HTTP. Every fifth request
fails in the second one."""

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

from services import Service, get, provider

REQUESTS = 40


def run(grpc, http, environment):
    """Sends the requests; answers with the edges they should lead to: (client, server) → (calls, errors)."""
    frontend_spans = provider("py-frontend", environment, GrpcExporter(endpoint=grpc, insecure=True))
    backend_spans = provider("py-backend", environment, HttpExporter(endpoint=f"{http}/v1/traces"))

    def sell(backend, path):
        backend.query("SELECT * FROM orders")
        return 500 if int(path.split("=")[1]) % 5 == 0 else 200

    backend = Service("py-backend", lambda _: backend_spans, sell)
    frontend = Service(
        "py-frontend",
        lambda _: frontend_spans,
        lambda service, path: service.call(backend, path.replace("checkout", "orders")),
        operation="checkout",
    )
    for number in range(REQUESTS):
        get(f"http://127.0.0.1:{frontend.port}/checkout?n={number}", {})
    for each in (frontend, backend):
        each.stop()
    for each in (frontend_spans, backend_spans):
        each.shutdown()
    failed = REQUESTS // 5
    return {
        ("user", "py-frontend"): (REQUESTS, failed),
        ("py-frontend", "py-backend"): (REQUESTS, failed),
        ("py-backend", "postgresql:shop-db/orders"): (REQUESTS, 0),
    }
