// Flows whose names and texts would be more than text, if anybody let them: sent to ingest as OTLP.
import { attribute, id, post } from "./workload.mjs";

/** What names and texts may hold, each in its own way more than text. `ran()` would tell. */
export const HOSTILE = {
  markup: `"'><img src=/ran onerror=ran()><script>ran()</script><svg onload=ran()>`,
  link: "javascript:ran()//https://elsewhere.example/",
  formula: '=HYPERLINK("https://elsewhere.example/")',
  drawing: `x"]; click n0 "javascript:ran()"; %% \`\${ran()}\` {{ran()}} %3Cscript%3Eran()%3C/script%3E`,
  bidi: "abc\u202egnp.exe\u2066\u200f",
  control: "a\u0000b\u0001c\u001b[31md\u0007e\u0085f\ufffeg\r\nh\ti",
  emoji: "👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀👩‍🚀",
  long: `long ${"x".repeat(10_000)}`,
  keys: "__proto__",
};

/** Flows of which everything that telemetry names is hostile, the same thing everywhere; gives their ids by what that is. */
export async function hostile(of) {
  const flows = Object.fromEntries(Object.entries(HOSTILE).map(([name, text]) => [name, hostileFlow(text, of)]));
  await post(Object.values(flows).flatMap(({ parts }) => parts));
  return Object.fromEntries(Object.entries(flows).map(([name, { traceId }]) => [name, traceId]));
}

function hostileFlow(text, of) {
  const [traceId, entry, call, query, publish] = [id(16), id(8), id(8), id(8), id(8)];
  const now = BigInt(Date.now()) * 1_000_000n;
  const said = (...more) => [attribute(text, text), attribute("constructor", text), ...more];
  const exception = ["exception", text].map((name) => ({ name, timeUnixNano: String(now), attributes: said(attribute("exception.type", text), attribute("exception.message", text), attribute("exception.stacktrace", `at ${text}\n  ${text}`)) }));
  const span = (spanId, parentSpanId, kind, ms, attributes) => ({
    traceId, spanId, parentSpanId, name: text, kind, attributes: said(...attributes), events: exception, status: { code: 2, message: text },
    links: [{ traceId: id(16), spanId: id(8), traceState: text, attributes: said() }],
    startTimeUnixNano: String(now - BigInt(ms) * 1_000_000n), endTimeUnixNano: String(now),
  });
  const resource = (service, spans) => ({
    resource: { attributes: said(
      attribute("service.name", service), attribute("service.namespace", text), attribute("service.version", text), attribute("k8s.cluster.name", text),
      attribute("deployment.environment.name", of), attribute("k8s.pod.name", text), attribute("k8s.node.name", text),
    ) },
    scopeSpans: [{ scope: { name: text, version: text }, spans }],
  });
  return { traceId, parts: [
    resource("safe-web", [
      span(entry, "", 2, 30, [attribute("weir.operation", text), attribute("ui.event", text), attribute("http.route", text)]),
      span(call, entry, 3, 25, [attribute("server.address", text)]),
    ]),
    resource(text, [
      span(id(8), call, 2, 20, [attribute("http.route", text)]),
      span(query, call, 3, 15, [attribute("db.system.name", text), attribute("db.namespace", text), attribute("db.collection.name", text)]),
      span(publish, call, 4, 10, [attribute("messaging.system", text), attribute("messaging.destination.name", text), attribute("messaging.operation.type", "send")]),
      span(id(8), call, 3, 5, [attribute("http.request.method", text), attribute("url.full", text), attribute("server.address", text)]),
    ]),
  ] };
}
