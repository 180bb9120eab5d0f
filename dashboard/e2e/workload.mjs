// Flows whose truth is known, sent to ingest as OTLP: web → auth → database, one of them failing on demand.
import { randomBytes } from "node:crypto";
import { ask, ingest, until } from "./harness.mjs";

const id = (bytes) => randomBytes(bytes).toString("hex");
const attribute = (key, value) => ({ key, value: { stringValue: value } });

/** An environment of its own, so that other tests beside this one don't matter. */
export const environment = `page-${id(4)}`;

/** What `prepare` sends. */
export const truth = { operation: "page_login", flows: 40, failed: 10 };
let prepared = null;

/** Sends the flows that views are looked at with, once; gives the id of a failed one, and how to send more. */
export function prepare() {
  prepared ??= (async () => {
    await send(truth.flows - truth.failed);
    const [failed] = await send(truth.failed, true);
    await until("the flows are counted", async () => {
      const { operations } = await ask(`/api/v1/operations?environment=${environment}&window=15m`);
      return (operations.find(({ name }) => name === truth.operation)?.count ?? 0) >= truth.flows;
    });
    return { failed, more: () => send(5) };
  })();
  return prepared;
}

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
  more.forEach(([server, call], index) => parts.push(resource(services[index + 1], [span(server, call, "POST /check", 2, 20, [attribute("http.request.method", "POST"), attribute("http.route", "/check")], exception)])));
  return { traceId, parts };
}

/** Sends so many flows; gives their trace ids. */
export async function send(count, failed = false, options = {}) {
  const flows = Array.from({ length: count }, () => flow(failed, options));
  await post(flows.flatMap(({ parts }) => parts));
  return flows.map(({ traceId }) => traceId);
}

async function post(resourceSpans) {
  const answer = await fetch(`${ingest}/v1/traces`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ resourceSpans }) });
  if (!answer.ok) throw new Error(`ingest answered ${answer.status}`);
}

const TIERS = 8;

/** So many calls between so many services in tiers, each call a flow of its own; gives the environment. */
export async function large(services, calls) {
  const big = `large-${id(4)}`;
  const now = BigInt(Date.now()) * 1_000_000n;
  const resource = (service, spans) => ({
    resource: { attributes: [attribute("service.name", `service-${service}`), attribute("service.namespace", `team-${service % 40}`), attribute("deployment.environment.name", big)] }, scopeSpans: [{ spans }],
  });
  const pairs = between(services, calls);
  for (let first = 0; first < pairs.length; first += 500) {
    await post(pairs.slice(first, first + 500).flatMap(([from, to]) => {
      const [traceId, root, call] = [id(16), id(8), id(8)];
      const span = (spanId, parentSpanId, name, kind) => ({
        traceId, spanId, parentSpanId, name, kind, status: {}, startTimeUnixNano: String(now - 40_000_000n), endTimeUnixNano: String(now - 5_000_000n),
      });
      return [
        resource(from, [{ ...span(root, "", "GET /all", 2), attributes: [attribute("weir.operation", "large")] }, span(call, root, "call", 3)]),
        resource(to, [span(id(8), call, "GET /part", 2)]),
      ];
    }));
  }
  return big;
}

/** Different pairs, from each tier to one of the next two; every service is in one. */
function between(services, calls) {
  const size = Math.ceil(services / TIERS);
  const chosen = new Set();
  for (let from = 0; chosen.size < calls; from = (from + 1) % (services - size)) {
    const tier = Math.floor(from / size) + 1 + (Math.random() < 0.2 ? 1 : 0);
    // The first round leaves nobody out.
    const to = chosen.size < services - size ? from + size : tier * size + Math.floor(Math.random() * size);
    if (to < services) chosen.add(`${from} ${to}`);
  }
  return [...chosen].map((pair) => pair.split(" ").map(Number));
}
