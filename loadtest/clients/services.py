"""Small services that really call each other over HTTP and trace themselves with the OpenTelemetry SDK."""

import http.server
import threading
import urllib.error
import urllib.request

from opentelemetry import propagate
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

NAMESPACE = "clients"


def provider(service, environment, exporter):
    """A tracer provider of one service that exports through `exporter`, as an application configures it."""
    resource = Resource.create(
        {
            "service.name": service,
            "service.namespace": NAMESPACE,
            "service.version": "1.0.0",
            "deployment.environment.name": environment,
        }
    )
    made = TracerProvider(resource=resource)
    made.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=300))
    return made


class Service:
    """An HTTP server on a free port whose every request is a SERVER span. `handle(service, request)` answers
    with a status code; `request` is the path with its query."""

    def __init__(self, name, choose_provider, handle, operation=None):
        self.name = name
        self.choose_provider = choose_provider
        self.handle = handle
        self.operation = operation
        self.local = threading.local()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                self.send_response(service.serve(self.path, dict(self.headers)))
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler

    def serve(self, path, headers):
        route = path.split("?")[0]
        attributes = {"http.request.method": "GET", "http.route": route, "url.path": route, "url.scheme": "http"}
        if self.operation:
            attributes["weir.operation"] = self.operation
        parent = propagate.extract({key.lower(): value for key, value in headers.items()})
        self.local.tracer = self.choose_provider(path).get_tracer("clients")
        with self.local.tracer.start_as_current_span(
            f"GET {route}", context=parent, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            status = self.handle(self, path)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            return status

    def call(self, other, path):
        """Calls another service: a CLIENT span, its context in the headers."""
        attributes = {
            "http.request.method": "GET",
            "url.full": f"http://127.0.0.1:{other.port}{path}",
            "server.address": other.name,
            "server.port": other.port,
        }
        with self.local.tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers = {}
            propagate.inject(headers)
            status = get(f"http://127.0.0.1:{other.port}{path}", headers)
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                span.set_status(Status(StatusCode.ERROR))
            return status

    def query(self, statement):
        """Asks a database that tells no spans."""
        attributes = {
            "db.system.name": "postgresql",
            "db.namespace": "orders",
            "db.query.text": statement,
            "server.address": "shop-db",
        }
        with self.local.tracer.start_as_current_span("SELECT orders", kind=SpanKind.CLIENT, attributes=attributes):
            pass

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def get(url, headers):
    """Status code of a GET."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as problem:
        problem.close()
        return problem.code
