// Flows whose truth is known, sent to ingest as OTLP: web → auth, failing on demand, and web → cart.
import { randomBytes } from "node:crypto";
import { ask, ingest, until } from "./harness.mjs";

export const id = (bytes) => randomBytes(bytes).toString("hex");
export const attribute = (key, value) => ({ key, value: { stringValue: value } });

/** An environment of its own, so that other tests beside this one don't matter. */
export const newEnvironment = (name) => `${name}-${id(4)}`;
export const environment = newEnvironment("page");

/** What `prepare` sends. */
export const truth = { operation: "page_login", flows: 40, failed: 10 };
let prepared = null;

/** Sends the flows that views are looked at with, once; others may be added. Gives the id of a failed one, and how to send more. */
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

const PLACES = { "page-cart": "page-west" };

/** The entry takes three times `part` ms of six, the calls it makes two and a half, and who is called two. */
function flow(failed, { services = ["page-web", "page-auth"], operation = "page_login", of = environment, part = 10, probe = false } = {}) {
  const traceId = id(16);
  const now = BigInt(Date.now()) * 1_000_000n;
  const span = (spanId, parentSpanId, name, kind, ms, attributes = [], events = []) => ({
    traceId, spanId, parentSpanId, name, kind, attributes, events, status: failed ? { code: 2, message: "wrong password" } : {},
    startTimeUnixNano: String(now - BigInt(ms) * 1_000_000n), endTimeUnixNano: String(now),
  });
  const resource = (service, spans) => ({
    resource: { attributes: [
      attribute("service.name", service), attribute("service.namespace", "page-shop"), attribute("service.version", "1.2.3"), attribute("k8s.cluster.name", PLACES[service] ?? "page-east"),
      attribute("deployment.environment.name", of), attribute("k8s.pod.name", `${service}-1`),
    ] },
    scopeSpans: [{ spans }],
  });
  const exception = failed ? [{ name: "exception", timeUnixNano: String(now), attributes: [attribute("exception.type", "Denied"), attribute("exception.message", "<b>wrong password</b>"), attribute("exception.stacktrace", "at check (<img src=x onerror=alert(1)>)")] }] : [];
  const [entry, ...more] = services.map(() => [id(8), id(8)]);
  const begins = probe ? [attribute("http.route", "/healthz"), attribute("url.path", "/healthz"), attribute("user_agent.original", "kube-probe/1.34")] : [attribute("weir.operation", operation)];
  const parts = [resource(services[0], [
    span(entry[0], "", probe ? "GET /healthz" : "POST /login", 2, 3 * part, begins),
    ...more.map(([, call], index) => span(call, entry[0], `call ${services[index + 1]}`, 3, 2.5 * part)),
  ])];
  more.forEach(([server, call], index) => parts.push(resource(services[index + 1], [span(server, call, "POST /check", 2, 2 * part, [attribute("http.request.method", "POST"), attribute("http.route", "/check")], exception)])));
  return { traceId, parts };
}

/** Flows that no other test adds to, and all that is to be said of them; the range holds nothing else. */
export const still = { environment: newEnvironment("still"), logins: 40, failed: 10, orders: 8, probes: 5, startTime: 0, endTime: 0, failedId: "" };
let sent = null;

export function prepareStill() {
  sent ??= (async () => {
    const { environment: of } = still;
    still.startTime = (Math.floor(Date.now() / 1000) - 5) * 1e6;
    await send(still.logins - still.failed, false, { of });
    [still.failedId] = await send(still.failed, true, { of });
    await send(still.orders, false, { of, services: ["page-web", "page-cart"], operation: "page_order", part: 20 });
    await send(still.probes, false, { of, services: ["page-web"], probe: true });
    still.endTime = (Math.floor(Date.now() / 1000) + 30) * 1e6;
    const range = `environment=${of}&startTime=${still.startTime}&endTime=${still.endTime}`;
    const flows = still.logins + still.orders;
    await until("everything is counted and stored", async () => {
      const [{ operations }, listed, errors] = await Promise.all([`operations?probes=true&${range}`, `flows?probes=true&pageSize=1&${range}`, `errors?${range}`].map((path) => ask(`/api/v1/${path}`)));
      const counted = operations.reduce((sum, { count }) => sum + count, 0);
      return counted === flows + still.probes && listed.total === flows + still.probes && errors.total === 3 * still.failed;
    });
    return range;
  })();
  return sent;
}

/** Sends so many flows; gives their trace ids. */
export async function send(count, failed = false, options = {}) {
  const flows = Array.from({ length: count }, () => flow(failed, options));
  await post(flows.flatMap(({ parts }) => parts));
  return flows.map(({ traceId }) => traceId);
}

export async function post(resourceSpans) {
  const answer = await fetch(`${ingest}/v1/traces`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ resourceSpans }) });
  if (!answer.ok) throw new Error(`ingest answered ${answer.status}`);
}

const TIERS = 8;

/** So many calls between so many services in tiers, each call a flow of its own; gives the environment. */
export async function large(services, calls) {
  const big = newEnvironment("large");
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
