// What stands on the screen is what was sent: flows that nobody adds to, looked at in every view.
import { api, ask, same, test, until } from "./harness.mjs";
import { prepareStill, still } from "./workload.mjs";

const UNITS = { "µs": 0.001, ms: 1, s: 1000, "%": 0.01 };

/** A figure as a number: milliseconds, shares, counts. */
function value(text) {
  const [, digits, unit] = text.replaceAll(",", "").trim().match(/^([\d.]+)\s*(µs|ms|s|%)?$/) ?? [];
  return Number(digits) * (UNITS[unit] ?? 1);
}

/** As much the same as the digits on the screen and the buckets of a histogram allow. */
function near(text, expected, what) {
  if (!(Math.abs(value(text) - expected) <= 0.02 * expected)) throw new Error(`${what}: ${text}, expected about ${expected}`);
}

/** A row by the heads of its columns. */
async function record(table, words) {
  const row = table.locator("tbody tr", { hasText: words }).first();
  await row.waitFor();
  const heads = (await table.locator("thead th").allInnerTexts()).map((head) => head.replace(/[↑↓]/, "").trim());
  const cells = await row.locator("td").allInnerTexts();
  return Object.fromEntries(heads.map((head, index) => [head, cells[index].trim()]));
}

const figures = (page) => page.locator(".cards [data-figure]").evaluateAll((cards) => Object.fromEntries(cards.map((card) => [card.dataset.figure, card.querySelector("b").innerText])));

/** Total, errors and average as they were sent. */
async function cardsSay(page, [total, failed, average]) {
  const found = await until(`${total} flows`, async () => {
    const now = await figures(page);
    return now.total === String(total) ? now : null;
  });
  near(found.success, 1 - failed / total, "success");
  near(found.errors, failed / total, "errors");
  near(found.average, average, "average");
  return found;
}

test("cards follow every filter that flows have", async (page) => {
  const range = await prepareStill();
  const { logins, failed, orders, probes } = still;
  const all = logins + orders;
  const average = (logins * 30 + orders * 60) / all;
  await page.goto(`${api}/?${range}`);
  await cardsSay(page, [all, failed, average]);
  await page.goto(`${api}/?${range}&operation=page_login`);
  const login = await cardsSay(page, [logins, failed, 30]);
  for (const percentile of ["p50", "p95", "p99"]) near(login[percentile], 30, percentile);
  await page.goto(`${api}/?${range}&operation=page_order`);
  near((await cardsSay(page, [orders, 0, 60])).p95, 60, "p95 of orders");
  await page.goto(`${api}/operations?${range}&probes=true`);
  const withProbes = await cardsSay(page, [all + probes, failed, (all * average + probes * 30) / (all + probes)]);
  same(withProbes.total, String(all + probes), "health checks too");
  await page.goto(`${api}/?${range.replace(/startTime=\d+/, `startTime=${still.startTime - 60e6}`).replace(/endTime=\d+/, `endTime=${still.startTime}`)}`);
  await until("none of the time before", async () => (await figures(page)).total === "0");
  // Which services a flow went through, and how it ended.
  for (const [filter, expected] of [
    ["&service=page-auth", [logins, failed, 30]], ["&namespace=page-shop", [all, failed, average]], ["&cluster=page-west", [orders, 0, 60]],
    ["&service=page-cart&cluster=page-west&status=success", [orders, 0, 60]], ["&service=page-auth&status=success", [logins - failed, 0, 30]],
    ["&status=error", [failed, failed, 30]],
  ]) {
    await page.goto(`${api}/operations?${range}${filter}`);
    const found = await cardsSay(page, expected);
    same((await page.locator(".cards-notes").innerText()).includes("Flows that began in this time"), true, `what is counted with ${filter}`);
    near(found.p95, expected[2] === 60 || filter.includes("namespace") ? 60 : 30, `p95 with ${filter}`);
  }
  await page.goto(`${api}/live?environment=${still.environment}&live=15m&service=page-auth`);
  await cardsSay(page, [logins, failed, 30]);
  // Live windows, on other views.
  for (const path of ["/", "/live", "/errors", "/compare"]) {
    await page.goto(`${api}${path}?environment=${still.environment}&live=15m&operation=page_login`);
    near((await cardsSay(page, [logins, failed, 30])).p99, 30, `p99 on ${path}`);
  }
});

test("the map, its table and its panels say what was sent", async (page) => {
  const range = await prepareStill();
  const { logins, failed, orders } = still;
  await page.goto(`${api}/?${range}`);
  const auth = page.locator("[data-node]", { hasText: "page-auth" });
  same((await auth.getAttribute("aria-label")).includes(`${100 * failed / logins}\u202f% errors, p95 20\u202fms, degraded`), true, "words of the box");
  near(await auth.locator(".figure").innerText().catch(() => auth.locator(".figure").textContent()).then((text) => text.replace("p95", "")), 20, "p95 on the box");
  same(await auth.locator(".beside").textContent(), `${100 * failed / logins}\u202f%`, "errors on the box");
  same(await page.locator("[data-node]").count(), 4, "boxes: user, web, auth, cart");

  await auth.click();
  const panel = page.locator("[data-panel]");
  const figure = (name) => panel.locator(".figures > div", { has: page.getByText(name, { exact: true }) }).locator("b").innerText();
  await panel.locator('[data-figure="requests"]').waitFor();
  same(await figure("Requests"), String(logins), "requests");
  near(await figure("Error share"), failed / logins, "errors of the panel");
  for (const name of ["p50", "p95", "p99", "Own work"]) near(await figure(name), 20, name);
  const endpoint = await record(panel.locator("table", { hasText: "Endpoint" }), "POST /check");
  same([endpoint.Requests, endpoint.Errors], [String(logins), `${100 * failed / logins}\u202f%`], "the endpoint");
  near(endpoint.p95, 20, "p95 of the endpoint");
  const pod = await record(panel.locator("table", { hasText: "Machine" }), "page-auth-1");
  same([pod.Version, pod.Requests], ["1.2.3", String(logins)], "the pod");
  await panel.getByRole("button", { name: "Failed" }).click();
  await until("failed flows", async () => (await panel.locator(".flow-list li", { hasText: "page_login" }).count()) === 8);
  near(await panel.locator(".flow-list li", { hasText: "page_login" }).first().locator("b").innerText(), 30, "how long a failed one took");

  await panel.getByRole("button", { name: /page-web/ }).last().click();
  await panel.locator('[data-figure="calls"]').waitFor();
  same([await figure("Calls"), await figure("Retries"), await figure("Rejected"), await figure("Timed out"), await figure("Seen by both")], [String(logins), "0", "0", "0", "100\u202f%"], "the call");
  near(await figure("p50"), 20, "p50 of the call");

  await page.goto(`${api}/?${range}&as=table`);
  const call = await record(page.locator("table"), "page-auth");
  same([call.Calls, call.Failed, call.Retries, call["Both sides, %"]], [String(logins), String(failed), "0", "100"], "the row");
  near(call["Errors, %"], 100 * failed / logins, "errors of the row");
  near(call["p99, ms"], 20, "p99 of the row");
  same((await record(page.locator("table"), "page-cart")).Calls, String(orders), "the other call");
  await page.goto(`${api}/?${range}&as=tree`);
  await page.locator(".tree li", { hasText: `${100 * failed / logins}\u202f% errors, p95 20\u202fms` }).first().waitFor();
});

test("the map is cut by every filter that graphs have", async (page) => {
  const range = await prepareStill();
  const names = () => page.locator("[data-node] .name").evaluateAll((found) => found.map((name) => name.textContent).filter((name) => name.startsWith("page-")).sort());
  for (const [filter, expected] of [
    ["", ["page-auth", "page-cart", "page-web"]], ["&operation=page_order", ["page-cart", "page-web"]], ["&service=page-auth", ["page-auth", "page-web"]],
    ["&namespace=page-shop", ["page-auth", "page-cart", "page-web"]], ["&cluster=page-west", ["page-cart", "page-web"]],
  ]) {
    await page.goto(`${api}/?${range}${filter}`);
    await until(`services with ${filter}`, async () => JSON.stringify(await names()) === JSON.stringify(expected));
  }
  for (const filter of ["&namespace=elsewhere", "&service=nobody", "&operation=nothing"]) {
    await page.goto(`${api}/?${range}${filter}`);
    await page.getByRole("heading", { name: "Nothing here in this time" }).waitFor();
  }
});

test("operations and lists of flows say what was sent", async (page) => {
  const range = await prepareStill();
  const { logins, failed, orders } = still;
  await page.goto(`${api}/operations?${range}`);
  const table = page.locator("table");
  const login = await record(table, "page_login");
  same(login.Flows, String(logins), "logins");
  near(login["Errors, %"], 100 * failed / logins, "errors of logins");
  for (const name of ["Average, ms", "p50, ms", "p95, ms", "p99, ms"]) near(login[name], 30, name);
  const order = await record(table, "page_order");
  same([order.Flows, order["Errors, %"]], [String(orders), "0"], "orders");
  near(order["p99, ms"], 60, "p99 of orders");
  same(await table.locator("tbody tr[aria-rowindex]").count(), 2, "health checks are left out");

  for (const [filter, total] of [["", logins + orders], ["&status=error", failed], ["&status=success", logins + orders - failed], ["&status=timeout", 0], ["&service=page-cart", orders], ["&operation=page_login", logins], ["&probes=true", logins + orders + still.probes]]) {
    await page.goto(`${api}/live?${range}${filter}`);
    await page.locator('[data-figure="flows"]', { hasText: `${total} flows in all` }).waitFor();
    same(await page.locator("tbody tr[aria-rowindex]").count() > 0, total > 0, `rows with ${filter}`);
  }
  await page.goto(`${api}/live?${range}&status=error`);
  const flow = await record(table, "page_login");
  near(flow["Duration, ms"], 30, "duration");
  same([flow.Spans, flow["Failed calls"]], ["3", String((await ask(`/api/v1/flows/${still.failedId}`)).metadata.errorCount)], "a flow");
});

test("a flow and its errors say what was sent", async (page) => {
  const range = await prepareStill();
  const { failed } = still;
  await page.goto(`${api}/flows/${still.failedId}`);
  await page.locator(".span-row").first().waitFor();
  const facts = await page.locator(".information .strip > div").evaluateAll((pairs) => Object.fromEntries(pairs.map((pair) => [pair.querySelector("dt").innerText, pair.querySelector("dd").innerText])));
  near(facts.Duration, 30, "duration");
  same([facts.Environment, facts.Services, facts.Spans], [still.environment, "2", "3"], "facts");
  same((await page.locator(".span-time").allInnerTexts()).map(value).sort(), [20, 25, 30], "bars of the timeline");
  same((await page.locator(".failure").allInnerTexts()).some((text) => text.includes("Denied <b>wrong password</b>")), true, "the exception");

  await page.goto(`${api}/errors?${range}`);
  await page.locator('[data-figure="errors"]', { hasText: `${3 * failed} failed spans` }).waitFor();
  const group = await record(page.locator("table"), "Denied");
  same([group["Failed spans"], group["Service → called"].trim(), group.Operation], [String(failed), "page-auth", "page_login"], "the group");
  await page.locator(".segments").getByRole("button", { name: "Service", exact: true }).click();
  same((await record(page.locator("table"), "page-web"))["Failed spans"], String(2 * failed), "by service");

  // A heatmap has no text but what it says of the cell that is pointed at.
  await page.goto(`${api}/errors?${range}&operation=page_login`);
  const heat = await ask(`/api/v1/heatmap?operation=page_login&${range}`);
  same([heat.counts.flat().reduce((sum, count) => sum + count, 0), heat.errors.reduce((sum, count) => sum + count, 0)], [still.logins, failed], "cells");
  const canvas = page.locator(".heatmap canvas");
  await canvas.focus();
  const time = heat.totals.findLastIndex((count) => count > 0);
  const bucket = heat.counts.findIndex((row) => row[time] > 0);
  for (let step = heat.times.length - 1; step > time; step -= 1) await page.keyboard.press("ArrowLeft");
  for (let step = 0; step < bucket; step += 1) await page.keyboard.press("ArrowUp");
  const words = await canvas.getAttribute("aria-label");
  same([words.includes(`: ${heat.counts[bucket][time]} of `), words.includes(`, ${heat.errors[time]} failed`)], [true, true], `the cell: ${words}`);
});

test("compare says what was sent", async (page) => {
  const range = await prepareStill();
  await page.goto(`${api}/compare?${range}`);
  const added = page.locator("section", { has: page.getByRole("heading", { name: "New calls" }) }).locator("table");
  const call = await record(added, "page-auth");
  same(call.Calls, String(still.logins), "calls of what is new");
  near(call["Error share"], still.failed / still.logins, "errors of what is new");
  near(call.p95, 20, "p95 of what is new");
});

test("status: every shard, process and count is the API's", async (page) => {
  const answers = page.waitForResponse((response) => response.url().endsWith("/api/v1/status"));
  await page.goto(`${api}/status`);
  const { graphs, roles, counts } = await (await answers).json();
  const section = (name) => page.locator("section", { has: page.getByRole("heading", { name, exact: true }) });
  await section("Graphs").locator("tbody tr").first().waitFor();
  same(await section("Graphs").locator("tbody tr td:first-child").allInnerTexts(), Object.keys(graphs.shards), "shards");
  same(await section("Processes").locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText))), roles.map(({ role, version }) => [role, version, "✓ answers"]), "processes");
  if (counts.some(({ count }) => count === 0)) await section("Dropped, rejected, corrected").getByRole("button", { name: "Show them" }).click();
  same(await section("Dropped, rejected, corrected").locator("tbody tr").evaluateAll((rows) => rows.map((row) => [row.cells[2].innerText, row.cells[3].innerText])), counts.map(({ explanation, role }) => [explanation, role]), "counts explained");
});
