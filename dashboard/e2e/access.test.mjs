// No serious problem for people with other eyes, other hands or other tools, in any view, any state of it and any theme.
import AxeBuilder from "@axe-core/playwright";
import { api, ask, same, test, until } from "./harness.mjs";
import { REFUSAL, hold, late, refuse, sendIncomplete, shardIsLate, tell } from "./states.mjs";
import { environment, large, prepare, send, truth } from "./workload.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
/** Colours alone change in these themes: every view, and one of each kind of part. */
const VIEWS = ["map", "table", "tree", "overview", "service", "operations", "live", "errors", "compare", "flow", "status", "settings", "keys", "the menu more filters", "refused", "stale"];
const THEMES = {
  light: {}, dark: { theme: "dark" }, "light, on a phone": { context: PHONE },
  "light, high contrast": { contrast: "more", among: VIEWS }, "dark, high contrast": { theme: "dark", contrast: "more", among: VIEWS },
  "the system's few colours": { theme: "system", media: { forcedColors: "active", colorScheme: "dark" }, among: VIEWS },
};

const OTHERS = 5;

/** More boxes than are drawn one by one, sent once. */
let many = null;
const overview = () => (many ??= large(160, 320));

/** Views and their states: the address, what is there then, how one gets to it, and what else is true meanwhile. */
async function states() {
  const { failed } = await prepare();
  const big = await overview();
  const half = await sendIncomplete(environment);
  // Something that only flows that end well do.
  await send(OTHERS, false, { services: ["page-web", "page-cart"] });
  await until("the flows are stored", async () => {
    const isStored = await ask(`/api/v1/flows/${half}`).then(() => true, () => false);
    const [{ total }, { nodes }] = await Promise.all([ask(`/api/v1/flows?environment=${environment}&window=15m`), ask(`/api/v1/graph?environment=${big}&window=15m`)]);
    return isStored && total > truth.flows + OTHERS && nodes.length > 150;
  });
  const { nodes, edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const node = nodes.find(({ service }) => service.name === "page-auth").id;
  const { from, to } = edges.find((edge) => edge.to === node && edge.from.includes("page-web"));
  const here = `environment=${environment}&live=15m`;
  const past = `environment=${environment}&window=1h`;
  const press = (key) => (page) => page.keyboard.press(key);
  const click = (selector) => (page) => page.locator(selector).first().click();
  const flow = `/flows/${failed}`;
  return {
    map: [`/?${here}`, "[data-node]"], table: [`/?${here}&as=table`, "tbody tr"], tree: [`/?${here}&as=tree`, ".tree li"], groups: [`/?${here}&group=namespace`, "[data-node]"],
    overview: [`/?environment=${big}&live=15m&group=none&rare=true`, "canvas[data-overview]"],
    "found and hidden": [`/?${here}&find=page-auth&hide=page-cart`, ".node.found"], "a search that can't be read": [`/?${here}&find=errors+%3E`, ".seek-problem"], focus: [`/?${here}&focus=${encodeURIComponent(node)}`, "[data-node]"],
    paused: [`/?${here}`, "[data-node]", { then: press("p"), there: "[data-pause][aria-pressed='true']" }],
    service: [`/?${here}&node=${encodeURIComponent(node)}`, "[data-panel] .chart svg"],
    "service as a table": [`/?${here}&node=${encodeURIComponent(node)}`, "[data-panel] .chart svg", { then: click(".panel .at-start"), there: ".panel .stack > .table-scroll" }],
    calls: [`/?${here}&${new URLSearchParams({ from, to })}`, "[data-panel] .chart svg"],
    operations: [`/operations?${here}`, "tbody tr"], live: [`/live?${here}`, "tbody tr"], errors: [`/errors?${here}&operation=${truth.operation}`, ".heatmap canvas"],
    "what sets flows apart": [`/errors?${here}&operation=${truth.operation}`, ".heatmap canvas", { then: (page) => page.getByRole("button", { name: "Failed flows against the others" }).click(), there: ".differs li" }],
    compare: [`/compare?${here}`, "tbody tr"], flow: [flow, ".span-row"], "a span": [flow, ".span-row", { then: click(".span-row .grow"), there: ".span-details" }],
    json: [flow, ".span-row", { then: (page) => page.getByRole("button", { name: "As JSON" }).click(), there: ".information .raw" }], "half a flow": [`/flows/${half}`, ".notes"],
    status: ["/status", "tbody tr"], settings: ["/settings", "select"], "a bad link": ["/settings", "select", { then: (page) => page.getByLabel("Link to logs").fill("javascript:x"), there: ".bad" }],
    keys: [`/?${here}`, "[data-node]", { then: press("?"), there: "dialog .keys" }], jump: [`/?${here}`, "[data-node]", { then: press("Control+k"), there: "[role='option']" }],
    ...Object.fromEntries([["time", ".field.menu"], ["more filters", ".top > .menu.right:not(.user)"], ["user", ".user"], ["light", ".freshness"], ["how", ".cards .how"], ["export", ".bar .menu"]].map(([name, menu]) =>
      [`the menu ${name}`, [`/?${here}`, "[data-node]", { then: click(`${menu} > button`), there: `${menu} .menu-box` }]])),
    filtered: [`/?${here}&service=page-auth&status=error&probes=true`, ".chip"],
    nothing: ["/?environment=nowhere", ".empty"], "no operation": ["/operations?environment=nowhere", ".table .state"], "no address": ["/no/such/view", "main .state"],
    loading: [`/operations?${past}`, "main [role='status']", { given: (page) => hold(page, "/api/v1/operations") }],
    refused: [`/errors?${past}`, `main [role='alert']:has-text("${REFUSAL}")`, { given: (page) => refuse(page, ["/api/v1/errors", "/api/v1/graph"]) }],
    late: [`/live?${past}`, "main .warn", { given: (page) => late(page, "/api/v1/flows") }],
    stale: [`/?${here}`, "#freshness[data-light='stale']", { given: (page) => tell(page, shardIsLate) }],
    "session ended": [`/operations?${here}`, ".banner", { given: (page) => refuse(page, "/api/v1/operations", { status: 401, code: "unauthorized" }) }],
  };
}

async function problemsOf(page) {
  const { violations } = await new AxeBuilder({ page }).options({ resultTypes: ["violations"] }).analyze();
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).map(({ id, nodes }) => `${id} (${nodes.length}×, ${nodes[0].target.join(" ")}: ${nodes[0].failureSummary.split("\n")[1]?.trim()})`);
}

for (const [name, { theme = "light", contrast = "system", media = {}, context = {}, among }] of Object.entries(THEMES)) {
  test(`axe finds nothing serious: ${name}`, async (page) => {
    await page.emulateMedia(media);
    await page.addInitScript((chosen) => localStorage.setItem("weir-settings", JSON.stringify(chosen)), { theme, contrast });
    const problems = [];
    for (const [state, [path, wanted, { given, then, there } = {}]] of Object.entries(await states())) {
      if (among && !among.includes(state)) continue;
      await given?.(page);
      await page.goto(api + path);
      await page.locator(wanted).first().waitFor({ state: "attached" }).catch(() => { throw new Error(`${state}: no ${wanted}`); });
      await then?.(page);
      if (there) await page.locator(there).first().waitFor().catch(() => problems.push(`${state}: no ${there}`));
      problems.push(...(await problemsOf(page)).map((problem) => `${state}: ${problem}`));
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (wide > 0) problems.push(`${state}: the page is ${wide} px wider than the screen`);
      await page.unrouteAll({ behavior: "ignoreErrors" });
    }
    if (problems.length > 0) throw new Error(problems.join("\n"));
  }, { ...context, allow: ["401", "503", "404"] });
}

test("a system that wants contrast, or has few colours, is followed", async (page) => {
  await page.goto(`${api}/settings`);
  const contrast = () => page.evaluate(() => document.documentElement.dataset.contrast);
  await until("the usual contrast", async () => (await contrast()) === "normal");
  for (const media of [{ contrast: "more" }, { contrast: null, forcedColors: "active" }]) {
    await page.emulateMedia(media);
    await until(`contrast for ${JSON.stringify(media)}`, async () => (await contrast()) === "more");
    await page.emulateMedia({ contrast: null, forcedColors: null });
    await until("the usual contrast again", async () => (await contrast()) === "normal");
  }
});

test("who wants no motion gets none", async (page) => {
  const { more } = await prepare();
  const moving = () => page.evaluate(() => document.getAnimations().filter(({ playState, effect }) => playState === "running" && effect.getComputedTiming().duration > 0).map((animation) => animation.animationName ?? animation.transitionProperty));
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator(".edge .dots").first().waitFor({ state: "attached" });
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await until("dots move for everybody else", async () => (await moving()).includes("pass"));
  await page.emulateMedia({ reducedMotion: "reduce" });
  await more();
  await page.locator(".edge .pulse").first().waitFor({ state: "attached" });
  for (let look = 0; look < 10; look += 1) {
    same(await moving(), [], "what moves");
    await page.locator("[data-node]").nth(look % 3).hover();
  }
});
