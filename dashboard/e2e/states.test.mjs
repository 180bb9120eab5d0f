// Empty, loading, stale, partial, failed: every view has words for each, and goes on by itself.
import { api, ask, same, test, until } from "./harness.mjs";
import { LATE, REFUSAL, change, cutOff, hold, late, refuse, sendIncomplete, shardIsLate, silent, tell } from "./states.mjs";
import { queryApi } from "./server.mjs";
import { environment, newEnvironment, prepare, truth } from "./workload.mjs";

const at = (path, more = "") => `${api}${path}${path.includes("?") ? "&" : "?"}environment=${environment}${more}`;
const here = { live: "&live=15m", hour: "&window=1h" };

/** Of every view: where it is, what it asks, and what is there when it is answered. */
async function views() {
  const { failed } = await prepare();
  await until("the flow is stored", () => ask(`/api/v1/flows/${failed}`).then(() => true, () => false));
  const { nodes, edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const auth = nodes.find(({ service }) => service.name === "page-auth");
  const edge = edges.find(({ to, from }) => to === auth.id && from.includes("page-web"));
  return {
    map: { url: at("/", here.hour), asks: "/api/v1/graph", ready: "[data-node]" },
    groups: { url: at("/", `${here.hour}&group=namespace`), asks: "/api/v1/dependencies", ready: "[data-node]" },
    service: { url: at(`/?node=${encodeURIComponent(auth.id)}`, here.live), asks: "/api/v1/services/", ready: "[data-panel] .chart svg" },
    calls: { url: at(`/?from=${encodeURIComponent(edge.from)}&to=${encodeURIComponent(edge.to)}`, here.live), asks: "/api/v1/edges/", ready: "[data-panel] .chart svg" },
    operations: { url: at("/operations", here.hour), asks: "/api/v1/operations", ready: "tbody tr" },
    live: { url: at("/live", here.hour), asks: "/api/v1/flows", ready: "tbody tr" },
    errors: { url: at("/errors", `${here.hour}&operation=${truth.operation}`), asks: ["/api/v1/errors", "/api/v1/heatmap"], ready: "tbody tr" },
    compare: { url: at("/compare", here.live), asks: "/api/v1/dependencies/compare", ready: "tbody tr" },
    flow: { url: `${api}/flows/${failed}`, asks: "/api/v1/flows/", ready: ".span-row" },
    spans: { url: `${api}/flows/${failed}`, asks: "/api/v1/traces/", ready: ".span-row" },
    status: { url: `${api}/status`, asks: "/api/v1/status", ready: "tbody tr" },
  };
}

test("what is loading says so, in every view", async (page) => {
  for (const [name, { url, asks }] of Object.entries(await views())) {
    await hold(page, asks);
    await page.goto(url);
    await page.locator("main").getByRole("status").filter({ hasText: "Loading …" }).first().waitFor().catch(() => { throw new Error(`${name} doesn't say that it is loading`); });
    await page.unrouteAll({ behavior: "ignoreErrors" });
  }
  await silent(page);
  await page.goto(at("/", here.live));
  await page.locator("main").getByRole("status").filter({ hasText: "Loading …" }).waitFor();
  same(await page.locator('[data-figure="total"] b').innerText(), "–", "a card before anything is known");
});

test("what is refused says why, what still works, and can be asked again, in every view", async (page) => {
  for (const [name, { url, asks, ready }] of Object.entries(await views())) {
    const allow = await refuse(page, asks);
    await page.goto(url);
    const alert = page.locator("main").getByRole("alert").filter({ hasText: REFUSAL });
    await alert.first().waitFor().catch(() => { throw new Error(`${name} doesn't say that it was refused`); });
    await alert.first().getByText("Live views don't need this and go on.").waitFor();
    await allow();
    while ((await alert.count()) > 0) await alert.first().getByRole("button", { name: "Try again" }).click({ timeout: 1_000 }).catch(() => {});
    await page.locator(ready).first().waitFor().catch(() => { throw new Error(`${name} doesn't come back`); });
  }
}, { allow: ["503"] });

test("what was known stays when the next answer fails", async (page) => {
  const { operations, status } = await views();
  for (const { url, asks, ready } of [{ ...operations, url: at("/operations", here.live) }, status]) {
    await page.goto(url);
    await page.locator(ready).first().waitFor();
    const allow = await refuse(page, asks);
    await page.locator("main").getByRole("alert").filter({ hasText: REFUSAL }).first().waitFor();
    same((await page.locator(ready).count()) > 0, true, `what ${url} showed`);
    await allow();
    // It is asked again by itself.
    await page.locator("main").getByRole("alert").filter({ hasText: REFUSAL }).first().waitFor({ state: "detached" });
  }
}, { allow: ["503"] });

test("a server that isn't reached is told in words, and the light says so", async (page) => {
  await prepare();
  await page.goto(at("/operations", here.live));
  await page.locator("tbody tr").first().waitFor();
  await cutOff(page);
  await page.goto(at("/", here.hour)).catch(() => {});
  await page.getByText("The server can't be reached.").first().waitFor();
  await page.locator('#freshness[data-light="lost"]', { hasText: "No answer from the server" }).waitFor();
  await page.goto(at("/", here.live));
  await page.locator('#freshness[data-light="lost"]', { hasText: "Connection lost, reconnecting" }).waitFor();
}, { allow: ["ERR_FAILED", "WebSocket", "Failed to load resource"] });

test("a view that doesn't arrive says so, and a click brings it", async (page) => {
  await prepare();
  await page.goto(at("/", here.live));
  await page.locator("[data-node]").first().waitFor();
  const files = /\/page\/Operations-.*\.js/;
  await page.route(files, (route) => route.fulfill({ status: 404 }));
  await page.getByRole("link", { name: "Operations", exact: true }).click();
  await page.getByText("This view didn't arrive").waitFor();
  await page.unroute(files);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("tbody tr").first().waitFor();
}, { allow: ["404"] });

test("what is empty says why, in every view", async (page) => {
  await prepare();
  const nowhere = `environment=${newEnvironment("nowhere")}&live=15m`;
  for (const [path, words] of [
    ["/", "Nothing here in this time"], ["/operations", "No operation ran in this time."], ["/live", "No flow has been told yet."], ["/live", "None in this time."],
    ["/errors", "Nothing failed in this time."], ["/errors", "Choose an operation or a service to see how long its flows took."], ["/compare", "No call changed beyond chance."],
    ["/compare?compare=environments", "Choose what to compare with."], ["/?only=down", "Nothing here in this time"],
  ]) {
    await page.goto(`${api}${path}${path.includes("?") ? "&" : "?"}${nowhere}`);
    await page.locator("main").getByText(words).first().waitFor().catch(() => { throw new Error(`${path} doesn't say ${words}`); });
  }
  await page.goto(at("/?only=down", here.live));
  await page.getByRole("heading", { name: "Nothing is down" }).waitFor();
  await page.getByRole("button", { name: "Show everything" }).click();
  await page.locator("[data-node]").first().waitFor();
  await page.goto(`${api}/operations?environment=${environment}&live=15m`);
  await page.getByRole("searchbox", { name: "Filter the rows" }).fill("nobody is called so");
  await page.getByText("No row matches.").waitFor();
  await page.goto(`${api}/flows/${"0".repeat(31)}1`);
  await page.getByText("No such flow is stored yet.").waitFor();
}, { allow: ["404"] });

test("what is late says so, where it stands", async (page) => {
  const { operations, live, errors, compare, calls } = await views();
  for (const { url, asks, ready } of [operations, live, errors, compare, calls]) {
    await late(page, asks);
    await page.goto(url);
    await page.locator(ready).first().waitFor().catch(() => { throw new Error(`${url} shows nothing`); });
    await page.locator("main").getByText(LATE).first().waitFor().catch(() => { throw new Error(`${url} doesn't say that it is late`); });
    await page.unrouteAll({ behavior: "ignoreErrors" });
  }
  await tell(page, shardIsLate);
  await page.goto(at("/", here.live));
  await page.locator('#freshness[data-light="stale"]', { hasText: "1 of 2 shards is late" }).waitFor();
  // Figures that may lack something look it, and say why.
  const total = page.locator('[data-figure="total"] b');
  same(await total.evaluate((figure) => getComputedStyle(figure).textDecorationStyle), "dotted", "how such a figure looks");
  same((await total.getAttribute("title")).includes("1 of 2 shards is late"), true, "what it says");
});

test("without Kafka the page says so, and shows what is stored", async (page) => {
  const server = await queryApi([], "127.0.0.1:1");
  if (server === null) return;
  await prepare();
  await server.start();
  try {
    await page.goto(`${server.origin}/?environment=${environment}&live=15m`);
    await page.locator('#freshness[data-light="stale"]', { hasText: "Kafka doesn't answer" }).waitFor();
    await page.goto(`${server.origin}/operations?environment=${environment}&window=1h`);
    await page.locator("tbody tr", { hasText: truth.operation }).waitFor();
    await page.goto(`${server.origin}/status`);
    await page.locator("main").getByText("Kafka doesn't answer").first().waitFor();
  } finally {
    await page.goto("about:blank");
    await server.kill();
  }
});

test("what is only a part says so", async (page) => {
  const { errors } = await views();
  const half = await sendIncomplete(environment);
  await until("the half flow is stored", () => ask(`/api/v1/flows/${half}`).then(() => true, () => false));
  await page.goto(`${api}/flows/${half}`);
  await page.getByText("Some of its spans are missing.").waitFor();
  await change(page, "/api/v1/errors", (json) => ({ ...json, truncated: true }));
  await page.goto(errors.url);
  await page.getByText("There were more than are looked at; choose less.").waitFor();
  await change(page, "/api/v1/flows/", (json) => ({ ...json, metadata: { ...json.metadata, truncated: true, source: "stored" }, sequence: null }));
  await page.goto(`${api}/flows/${half}`);
  for (const words of ["Too large to be shown whole", "Its spans are gone by now", "Its spans are no longer stored."]) await page.getByText(words).first().waitFor();
  await tell(page, (data) => {
    data.staleness.loadedFrom = "none";
    Object.assign(data, { nodes: [], edges: [] });
  });
  await page.goto(at("/", here.live));
  await page.getByText("The last 15 minutes are being loaded.").waitFor();
});
