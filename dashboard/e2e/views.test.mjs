// Every view over flows whose truth is known: what stands there is what the API says, and what was sent.
import { api, ask, same, test, until } from "./harness.mjs";
import { environment, prepare, send, truth } from "./workload.mjs";

const at = (path, more = "") => `${api}${path}?environment=${environment}&live=15m${more}`;
const cells = (row) => row.locator("td").allInnerTexts();

test("operations: counts and shares of errors are the API's and what was sent", async (page) => {
  await prepare();
  await page.goto(at("/operations"));
  const row = page.locator("tbody tr", { hasText: truth.operation });
  const { operations } = await ask(`/api/v1/operations?environment=${environment}&window=15m`);
  const operation = operations.find(({ name }) => name === truth.operation);
  same(operation.count >= truth.flows, true, "flows that the API counts");
  await until("the row", async () => (await cells(row))[1] === String(operation.count));
  same((await cells(row))[3], ((100 * operation.errorCount) / operation.count).toFixed(operation.errorRate < 0.0995 ? 2 : 1), "share of errors");
  await row.click();
  await page.waitForURL(/\/\?.*operation=page_login/);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.goBack();
  await row.waitFor();
});

test("cards: total, success, errors and percentiles follow the filters", async (page) => {
  await prepare();
  await page.goto(at("/", `&operation=${truth.operation}`));
  const figure = (id) => page.locator(`[data-figure="${id}"] b`).innerText();
  const { stats } = await ask(`/api/v1/operations/${truth.operation}/stats?environment=${environment}&window=15m`);
  await until("the total", async () => (await figure("total")) === String(stats.totalRequests));
  same(await figure("errors"), `${((100 * stats.errorCount) / stats.totalRequests).toFixed(stats.errorRate < 0.0995 ? 1 : 0)}\u202f%`, "errors");
  await page.goto(`${api}/?environment=${environment}&window=1h&operation=${truth.operation}`);
  await until("the same of the last hour", async () => (await figure("total")) === String(stats.totalRequests));
});

test("edge and node panel: figures, endpoints and pods are the API's", async (page) => {
  await prepare();
  const { edges, nodes } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const auth = nodes.find(({ service }) => service.name === "page-auth");
  const edge = edges.find(({ to, from }) => to === auth.id && from.includes("page-web"));
  await page.goto(at("/", `&from=${encodeURIComponent(edge.from)}&to=${encodeURIComponent(edge.to)}`));
  const panel = page.locator("[data-panel]");
  await until("the calls", async () => (await panel.locator('[data-figure="calls"] b').innerText()) === String(edge.callCount));
  await panel.getByRole("button", { name: "page-auth" }).first().click();
  await until("the requests", async () => (await panel.locator('[data-figure="requests"] b').innerText()) === String(auth.metrics.requestCount));
  await panel.getByText("POST /check").first().waitFor();
  await panel.getByText("page-auth-1").first().waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
});

test("a dot in the chart of latencies leads to its flow", async (page) => {
  await prepare();
  const { nodes } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const auth = nodes.find(({ service }) => service.name === "page-auth");
  await page.goto(at("/", `&node=${encodeURIComponent(auth.id)}`));
  const dot = page.locator(".exemplars a", { has: page.locator(".failed") }).first();
  await dot.waitFor();
  const { exemplars } = await ask(`/api/v1/services/page-auth/stats?environment=${environment}&window=15m`);
  const failed = exemplars.filter(({ errors }) => errors > 0).map(({ traceId }) => traceId);
  await dot.click({ force: true });
  await page.waitForURL(/\/flows\//);
  same(failed.includes(new URL(page.url()).pathname.split("/").at(-1)), true, "a failed flow of the API");
  await page.locator(".span-row").first().waitFor();
});

test("a flow: its story, its spans, and what failed as text", async (page) => {
  const { failed } = await prepare();
  const flow = await until("the flow is stored", async () => ask(`/api/v1/flows/${failed}`).catch(() => null));
  const { spans } = await until("its spans are stored", async () => ask(`/api/v1/traces/${failed}`).catch(() => null));
  await page.goto(`${api}/flows/${failed}`);
  await page.locator(".story li").first().waitFor();
  await page.locator(".span-row").first().waitFor();
  same(await page.locator(".story li").count(), flow.sequence.length, "calls told");
  same(await page.locator(".span-row").count(), spans.length, "bars");
  await page.getByText("<b>wrong password</b>").first().waitFor();
  await page.getByText("<img src=x onerror=alert(1)>").first().waitFor();
  same(await page.locator("main img").count(), 0, "pictures made of telemetry");
  await page.locator(".story button").last().click();
  await page.locator(".span-row.picked").waitFor();
  await page.waitForURL(/span=/);
});

test("live: flows come and go while one looks", async (page) => {
  await prepare();
  await page.goto(at("/live"));
  await page.locator('#freshness[data-light="live"]').waitFor();
  // Of flows that end well only a share may be told.
  await send(3, true);
  await page.locator(".happens li", { hasText: truth.operation }).first().waitFor();
  await page.locator(".happens > div").nth(1).locator("li", { hasText: truth.operation }).first().waitFor();
  const listed = page.locator('[data-figure="flows"]');
  await until("the list counts what the API counts", async () => {
    const { total } = await ask(`/api/v1/flows?environment=${environment}&window=15m&pageSize=1`);
    return (await listed.innerText()).startsWith(`${total} `);
  });
});

test("errors: groups in the words of the exception, and what sets failed flows apart", async (page) => {
  await prepare();
  await until("errors are stored", async () => (await ask(`/api/v1/errors?environment=${environment}&window=15m`)).total > 0);
  await page.goto(at("/errors", `&operation=${truth.operation}`));
  const row = page.locator("tbody tr", { hasText: "<b>wrong password</b>" });
  await until("the group", async () => {
    const { errors } = await ask(`/api/v1/errors?environment=${environment}&operation=${truth.operation}&window=15m`);
    const group = errors.find(({ message, service }) => message.includes("wrong") && service === "page-auth");
    return (await row.count()) > 0 && (await cells(row.first()))[0] === String(group.count);
  });
  await page.locator(".heatmap canvas").waitFor();
  await page.getByRole("button", { name: "Failed flows against the others" }).click();
  await page.getByText(/chosen flows against/).waitFor();
  await page.locator(".differs li").first().waitFor();
});

test("a region of the heatmap becomes a question", async (page) => {
  await prepare();
  await page.goto(at("/errors", `&operation=${truth.operation}`));
  const map = page.locator(".heatmap canvas");
  const { x, y, width, height } = await until("a heatmap", () => map.boundingBox());
  const asked = page.waitForRequest((request) => request.url().endsWith("/api/v1/diff"));
  await page.mouse.move(x + width * 0.5, y + 20);
  await page.mouse.down();
  await page.mouse.move(x + width - 12, y + height - 24, { steps: 4 });
  await page.mouse.up();
  const { selection, baseline } = JSON.parse((await asked).postData());
  same(Number(selection.endTime) > Number(selection.startTime) && Number(selection.maxDuration) > Number(selection.minDuration), true, "a region in time and latency");
  same([selection.operation, baseline.operation, baseline.minDuration ?? null], [truth.operation, truth.operation, null], "both sides");
});

test("compare: what is new since before is new", async (page) => {
  await prepare();
  const compared = page.waitForResponse((response) => response.url().includes("/dependencies/compare"));
  await page.goto(at("/compare"));
  const { added, removed } = await (await compared).json();
  same(added.length > 0 && removed.length === 0, true, "everything is new in this environment");
  await page.getByRole("heading", { name: "New calls" }).waitFor();
  same(await page.locator("table", { hasText: "New calls" }).locator("tbody tr[aria-rowindex]").count(), added.length, "rows of new calls");
});

test("status: shards, processes and counts are the API's", async (page) => {
  await page.goto(`${api}/status`);
  const { roles, graphs } = await ask("/api/v1/status");
  for (const { role } of roles) await page.locator("td", { hasText: role }).first().waitFor();
  const shards = page.locator("section", { hasText: "Graphs" }).locator("tbody tr");
  await until("every shard", async () => (await shards.count()) === Object.keys(graphs.shards).length);
});

test("settings: the theme changes at once and stays", async (page) => {
  await page.goto(`${api}/settings`);
  await page.getByLabel("Theme").selectOption("dark");
  await page.locator('html[data-theme="dark"]').waitFor();
  await page.reload();
  await page.locator('html[data-theme="dark"]').waitFor();
});
