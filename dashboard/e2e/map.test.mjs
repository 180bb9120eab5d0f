import { api, ask, exported, same, test, until } from "./harness.mjs";
import { LATE, late, shardIsLate, tell } from "./states.mjs";
import { environment, prepare, send } from "./workload.mjs";

const row = (page) => page.locator("tbody tr", { hasText: "page-web" }).filter({ hasText: "page-auth" });
const cell = async (page, index) => (await row(page).locator("td").nth(index).innerText()).trim();

test("what is sent is on the map, and its numbers are the API's", async (page) => {
  await send(20);
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await row(page).waitFor();
  await until("20 calls", async () => (await cell(page, 3)) === "20");
  const { edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const edge = edges.find(({ from, to }) => from.includes("page-web") && to.includes("page-auth"));
  same([await cell(page, 3), await cell(page, 5)], [String(edge.callCount), String(edge.errorCount)], "calls and failed calls of the row");
  same(await page.locator('[data-figure="total"] b').innerText(), "20", "flows on the card");
});

test("failing calls arrive within a second of the API knowing them, without a reload", async (page) => {
  await page.goto(`${api}/?environment=${environment}&live=15m&as=table`);
  await row(page).waitFor();
  const before = await cell(page, 3);
  const seen = row(page).locator("td").nth(3).evaluate((calls) => new Promise((told) => {
    new MutationObserver(() => told(Date.now())).observe(calls, { characterData: true, childList: true, subtree: true });
  }));
  const sent = Date.now();
  await send(20, true);
  await until("the API counts them", async () => {
    const { edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
    return edges.some(({ to, callCount }) => to.includes("page-auth") && callCount > Number(before));
  });
  const known = Date.now();
  const at = await seen;
  console.log(`        seen ${at - sent} ms after being sent, ${at - known} ms after an answer of the API had it`);
  if (at - known > 1_000) throw new Error("later than a second");
  await until("half of them failed", async () => (await cell(page, 4)).startsWith("50"));
});

test("a node that joins moves no other", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  const places = () => page.locator("[data-node]").evaluateAll((nodes) => Object.fromEntries(nodes.map((node) => [node.dataset.node, node.getAttribute("transform")])));
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  const before = await places();
  await send(20, false, { services: ["page-web", "page-mail"] });
  const joined = page.locator("[data-node]", { hasText: "page-mail" });
  await joined.waitFor();
  same(await joined.evaluate((node) => window.getComputedStyle(node).animationName), "slide", "how it comes");
  const after = await places();
  for (const [id, place] of Object.entries(before)) same(after[id], place, `${id} stays`);
});

const PULSE = { still: "none", moving: "pulse" };
for (const [motion, name] of Object.entries(PULSE)) {
  test(`a call that arrives pulses its arrow: ${motion}`, async (page) => {
    await prepare();
    await page.goto(`${api}/?environment=${environment}&live=15m`);
    const arrow = page.locator("[data-edge]", { has: page.locator("title", { hasText: /page-web to page-auth/ }) });
    await arrow.waitFor({ state: "attached" });
    await send(5);
    const pulse = arrow.locator(".pulse");
    await pulse.waitFor({ state: "attached" });
    same(await pulse.evaluate((line) => window.getComputedStyle(line).animationName), name, "what is seen");
    if (name !== "none") await pulse.waitFor({ state: "detached" });
  }, { reducedMotion: name === "none" ? "reduce" : "no-preference" });
}

test("what is found stands out, what is hidden is gone, and both are in the address", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  const box = (name) => page.locator("[data-node]", { hasText: name });
  await box("page-auth").waitFor();
  const place = await box("page-web").getAttribute("transform");
  await page.keyboard.press("/");
  await page.keyboard.type("errors >");
  await page.getByRole("status").filter({ hasText: "needs something after it" }).waitFor();
  same(await page.locator(".dimmed").count(), 0, "dimmed by what can't be read");
  await page.keyboard.type(" 1% and name ~ page-auth");
  await page.locator(".node.found", { hasText: "page-auth" }).waitFor();
  same([await page.locator(".node.found").count(), await page.locator(".node.dimmed", { hasText: "page-web" }).count()], [1, 1], "found and dimmed");
  await page.getByRole("searchbox", { name: "Hide on the map" }).fill("name = page-auth");
  await box("page-auth").waitFor({ state: "detached" });
  same([await box("page-web").getAttribute("transform"), await page.locator("[data-edge] title", { hasText: "page-auth" }).count()], [place, 0], "what is left stands where it stood, without its calls");
  await page.reload();
  await box("page-web").waitFor();
  same([await box("page-auth").count(), await page.getByRole("searchbox", { name: "Find on the map" }).inputValue()], [0, "errors > 1% and name ~ page-auth"], "after a reload");
});

test("the last minutes are replayed: figures of each step are the API's, and nothing moves", async (page) => {
  await send(10);
  const callsIn = async (query) => {
    const { edges } = await ask(`/api/v1/graph?environment=${environment}&${query}`);
    return edges.find(({ from, to }) => from.includes("page-web") && to.includes("page-auth"))?.callCount ?? 0;
  };
  const STEP = 10e6;
  const ended = () => Math.floor(Date.now() * 1000 / STEP) * STEP;
  await until("the step with the flows has ended", async () => await callsIn(`startTime=${ended() - 60e6}&endTime=${ended()}`) > 0);
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.getByRole("button", { name: /^Time/ }).click();
  await page.getByRole("button", { name: "Last 5 minutes" }).click();
  const player = page.getByRole("group", { name: "Replay", exact: true });
  await player.getByText("Replay of the past").waitFor();
  await page.locator('#freshness[data-light="past"]').waitFor();
  const moment = player.getByRole("slider", { name: "Moment of the replay" });
  const range = () => new URL(page.url()).searchParams;
  /** By the keyboard, until its figures are there. */
  const goTo = async (key) => {
    const before = range().get("startTime");
    await moment.press(key);
    await until(`${key} leads on`, () => range().get("startTime") !== before);
    const to = Number(range().get("endTime"));
    await page.locator(`[data-as-of="${to}"]`).waitFor();
    return `startTime=${to - STEP}&endTime=${to}`;
  };
  const places = () => page.locator("[data-node]").evaluateAll((nodes) => nodes.map((node) => [node.dataset.node, node.getAttribute("transform")]).sort());
  same(await moment.inputValue(), "0", "where it begins");
  const last = await goTo("End");
  const before = await places();
  let calls = await callsIn(last);
  for (let step = 0; calls === 0 && step < 29; step += 1) calls = await callsIn(await goTo("ArrowLeft"));
  same(calls > 0, true, "a step has the flows");
  same([await page.locator(".node.quiet", { hasText: "page-auth" }).count(), await places()], [0, before], "the step with calls: none is quiet, all stand where they stood");
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await until("the row has the API's figure", async () => (await cell(page, 3)) === String(calls));
  await page.reload();
  await until("the same after a reload", async () => (await cell(page, 3)) === String(calls));
  await page.getByRole("button", { name: "Map", exact: true }).click();
  const quiet = await goTo("Home");
  if (await callsIn(quiet) === 0) await page.locator(".node.quiet", { hasText: "page-auth" }).waitFor();
  same(await places(), before, "places in a step without them");
  const began = Number(range().get("endTime"));
  await player.getByRole("button", { name: "Play", exact: true }).click();
  await until("it plays on", () => Number(range().get("endTime")) >= began + 2 * STEP);
  await player.getByRole("button", { name: "Pause", exact: true }).click();
  await player.getByRole("button", { name: "End the replay" }).click();
  await page.locator('#freshness[data-light="live"]').waitFor();
  same([range().get("startTime"), range().get("live")], [null, "15m"], "the time that was looked at before");
});

test("a shard that is behind is told in words", async (page) => {
  await tell(page, shardIsLate);
  await page.goto(api);
  await page.locator('#freshness[data-light="stale"]', { hasText: "1 of 2 shards is late" }).click();
  await page.getByText("Shard 0: no commit for 40 s").waitFor();
});

test("the light goes by the graph that is shown, and lists say themselves that they are late", async (page) => {
  await prepare();
  await late(page, ["/api/v1/dependencies", "/api/v1/flows"]);
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator('#freshness[data-light="live"]').waitFor();
  await page.getByRole("combobox", { name: "Group" }).selectOption("namespace");
  await page.locator('#freshness[data-light="stale"]', { hasText: LATE }).waitFor();
  await page.getByRole("link", { name: "Live", exact: true }).click();
  await page.locator('#freshness[data-light="live"]').waitFor();
  await page.locator("main").getByText(LATE).waitFor();
});

test("the map is exported as CSV, JSON, Mermaid, SVG and PNG", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  const begins = { CSV: "from,to,callCount", JSON: '{\n  "nodes"', Mermaid: "flowchart LR", SVG: "<svg", PNG: "\x89PNG" };
  for (const [name, expected] of Object.entries(begins)) {
    const content = await exported(page, name);
    same(content.toString("latin1").slice(0, expected.length), expected, name);
    same(content.includes("page-auth") || name === "PNG", true, `${name} names the services`);
  }
});
