// Ways into states of the page that a healthy Weir doesn't bring about by itself: between the page and its API.
import { randomBytes } from "node:crypto";
import { attribute, post } from "./workload.mjs";

const isOf = (paths) => (url) => [paths].flat().some((path) => url.pathname.startsWith(path));

/** Questions of these paths are never answered. */
export const hold = (page, paths) => page.route(isOf(paths), () => {});

/** They are answered as somebody wants them to be. */
export const change = (page, paths, of) => page.route(isOf(paths), async (route) => {
  const response = await route.fetch();
  await route.fulfill({ response, json: of(await response.json()) });
});

/** What they say may lack something. */
export const LATE = "2 records are late";
export const late = (page, paths) => change(page, paths, (json) => ({ ...json, staleness: { ...json.staleness, fresh: false, message: LATE } }));

/** They are refused in words until the function that this gives is called. */
export const REFUSAL = "ClickHouse does not answer";
export async function refuse(page, paths, { status = 503, detail = REFUSAL, code = "store_unavailable" } = {}) {
  const matches = isOf(paths);
  const answer = (route) => route.fulfill({ status, contentType: "application/problem+json", body: JSON.stringify({ status, title: "No", detail, code }) });
  await page.route(matches, answer);
  return () => page.unroute(matches, answer);
}

/** Nothing of the API is reached. */
export async function cutOff(page) {
  await page.route(isOf("/api/"), (route) => route.abort());
  await page.routeWebSocket(/\/api\/v1\/live/, (socket) => socket.close());
}

/** Connected, and nothing is told. */
export const silent = (page) => page.routeWebSocket(/\/api\/v1\/live/, () => {});

/** What is told live says of itself what `of` makes of it. */
export const tell = (page, of) => page.routeWebSocket(/\/api\/v1\/live/, (socket) => {
  socket.connectToServer().onMessage((text) => {
    const frame = JSON.parse(text);
    if (frame.data.staleness) of(frame.data);
    socket.send(JSON.stringify(frame));
  });
});

export function shardIsLate({ staleness }) {
  staleness.fresh = false;
  staleness.message = "1 of 2 shards is late";
  staleness.shards["0"] = { seq: 7, clock: 0, behindSeconds: 40, state: "late", message: "no commit for 40 s" };
}

/** A flow whose beginning never arrives, really sent; gives its id. */
export async function sendIncomplete(environment) {
  const [traceId, spanId, missing] = [16, 8, 8].map((bytes) => randomBytes(bytes).toString("hex"));
  const now = BigInt(Date.now()) * 1_000_000n;
  await post([{
    resource: { attributes: [attribute("service.name", "page-half"), attribute("deployment.environment.name", environment)] },
    scopeSpans: [{ spans: [{ traceId, spanId, parentSpanId: missing, name: "POST /half", kind: 2, status: {}, startTimeUnixNano: String(now - 20_000_000n), endTimeUnixNano: String(now) }] }],
  }]);
  return traceId;
}
