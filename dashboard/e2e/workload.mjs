// Flows whose truth is known, sent to ingest as OTLP: web → auth → database, one of them failing on demand.
import { randomBytes } from "node:crypto";
import { ingest } from "./harness.mjs";

const id = (bytes) => randomBytes(bytes).toString("hex");
const attribute = (key, value) => ({ key, value: { stringValue: value } });

/** An environment of its own, so that other tests beside this one don't matter. */
export const environment = `page-${id(4)}`;

function flow(failed, { services = ["page-web", "page-auth"], operation = "page_login" } = {}) {
  const traceId = id(16);
  const now = BigInt(Date.now()) * 1_000_000n;
  const span = (spanId, parentSpanId, name, kind, ms, attributes = [], events = []) => ({
    traceId, spanId, parentSpanId, name, kind, attributes, events, status: failed ? { code: 2, message: "wrong password" } : {},
    startTimeUnixNano: String(now - BigInt(ms) * 1_000_000n), endTimeUnixNano: String(now),
  });
  const resource = (service, spans) => ({
    resource: { attributes: [attribute("service.name", service), attribute("deployment.environment.name", environment), attribute("k8s.pod.name", `${service}-1`)] },
    scopeSpans: [{ spans }],
  });
  const exception = failed ? [{ name: "exception", timeUnixNano: String(now), attributes: [attribute("exception.type", "Denied"), attribute("exception.message", "<b>wrong password</b>"), attribute("exception.stacktrace", "at check (<img src=x onerror=alert(1)>)")] }] : [];
  const [entry, ...more] = services.map(() => [id(8), id(8)]);
  const parts = [resource(services[0], [
    span(entry[0], "", "POST /login", 2, 30, [attribute("weir.operation", operation)]),
    ...more.map(([, call], index) => span(call, entry[0], `call ${services[index + 1]}`, 3, 25)),
  ])];
  more.forEach(([server, call], index) => parts.push(resource(services[index + 1], [span(server, call, "POST /check", 2, 20, [], exception)])));
  return { traceId, parts };
}

/** Sends so many flows; gives their trace ids. */
export async function send(count, failed = false, options = {}) {
  const flows = Array.from({ length: count }, () => flow(failed, options));
  const answer = await fetch(`${ingest}/v1/traces`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ resourceSpans: flows.flatMap(({ parts }) => parts) }),
  });
  if (!answer.ok) throw new Error(`ingest answered ${answer.status}`);
  return flows.map(({ traceId }) => traceId);
}
