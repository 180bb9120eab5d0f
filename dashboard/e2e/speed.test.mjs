// How soon the page is there and how soon it answers, as figures: a busy machine must not make a test fail.
import { api, same, test } from "./harness.mjs";
import { prepare } from "./workload.mjs";

const VISITS = 5;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Runs in the page, before anything of it. */
function watch() {
  window.interactions = [];
  // An interaction lasts until the frame that shows what came of it; shorter ones than 16 ms are not told.
  new PerformanceObserver((list) => window.interactions.push(...list.getEntries().filter(({ interactionId }) => interactionId > 0))).observe({ type: "event", durationThreshold: 16 });
  new MutationObserver((_, observer) => {
    if (document.querySelector("[data-node]") === null) return;
    observer.disconnect();
    window.mapAt = performance.now();
  }).observe(document, { childList: true, subtree: true });
}

/** With nothing in the cache. */
async function visit(browser) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(api);
  await page.locator("[data-node]").first().waitFor();
  return page;
}

test("first paint and interactions are measured", async (page) => {
  await prepare();
  const browser = page.context().browser();
  const seen = [];
  for (let each = 0; each < VISITS; each += 1) {
    const own = await visit(browser);
    seen.push(await own.evaluate(() => ({ paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, map: window.mapAt })));
    await own.context().close();
  }
  console.log(`        first contentful paint after ${Math.round(median(seen.map(({ paint }) => paint)))} ms, the map after ${Math.round(median(seen.map(({ map }) => map)))} ms (median of ${VISITS} first visits)`);

  const own = await visit(browser);
  const acts = {
    "open a service": () => own.locator("[data-node]").first().click(),
    "close it": () => own.keyboard.press("Escape"),
    "find": () => own.getByRole("searchbox", { name: "Find on the map" }).pressSequentially("auth"),
    "labels": () => own.getByRole("combobox", { name: "Labels" }).selectOption("p99"),
    "pause": () => own.getByRole("button", { name: "Pause" }).click(),
    "resume": () => own.getByRole("button", { name: /Resume/ }).click(),
    "time": () => own.getByRole("button", { name: /^Time/ }).click(),
    "a longer window": () => own.getByRole("button", { name: "15 minutes" }).first().click(),
    "table": () => own.getByRole("button", { name: "Table", exact: true }).click(),
    "sort": () => own.getByRole("button", { name: /^p95/ }).click(),
    "operations": () => own.getByRole("link", { name: "Operations" }).click(),
    "jump": () => own.keyboard.press("Control+k"),
    "type in it": () => own.keyboard.type("sta"),
    "go there": () => own.keyboard.press("Enter"),
  };
  const slowest = [];
  for (const [name, act] of Object.entries(acts)) {
    await own.evaluate(() => { window.interactions = []; });
    await act();
    // Until what it led to is there, and told.
    await own.waitForTimeout(300);
    slowest.push([await own.evaluate(() => Math.max(0, ...window.interactions.map(({ duration }) => duration))), name]);
  }
  await own.context().close();
  const told = slowest.sort(([a], [b]) => b - a);
  same(told[0][0] > 0, true, "something was measured");
  console.log(`        ${told.length} interactions: slowest ${told.slice(0, 3).map(([ms, name]) => `${name} ${ms} ms`).join(", ")}; median ${median(told.map(([ms]) => ms))} ms (0: below 16)`);
});
