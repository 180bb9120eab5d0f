// Every view by keys alone: what it is for is done without a mouse, what has the focus is seen, and what closes gives it back.
import { api, same, test, until } from "./harness.mjs";
import { environment, prepare, truth } from "./workload.mjs";

/** Why nobody would see what has the focus; runs in the page. */
function unseen() {
  const element = document.activeElement;
  // Between the end of the page and its beginning the browser's own parts have it.
  if (element === null || element === document.body) return null;
  const name = `${element.localName}.${element.getAttribute("class") ?? ""} "${element.getAttribute("aria-label") ?? element.textContent.slice(0, 40)}"`;
  const { left, top, right, bottom } = element.getBoundingClientRect();
  if (right - left < 1 || bottom - top < 1) return `${name} has no room`;
  if (right <= 0 || bottom <= 0 || left >= window.innerWidth || top >= window.innerHeight) return `${name} is out of sight`;
  // A box of the map is outlined by its own line, and what is typed into has a cursor.
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const isMarked = element.matches(".node") ? getComputedStyle(element.querySelector(".box")).strokeWidth === "2.6px" : element.matches(".jump, dialog") || (outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
  return isMarked ? null : `${name} doesn't show that it has the focus`;
}

const MOST_STOPS = 200;

/** Goes on with Tab until this has the focus; every stop on the way has to be seen. */
async function tabTo(page, wanted, key = "Tab") {
  const target = wanted.first();
  await target.waitFor();
  for (let stop = 0; stop < MOST_STOPS; stop += 1) {
    await page.keyboard.press(key);
    same(await page.evaluate(unseen), null, "focus");
    if (await hasFocus(target)) return;
  }
  throw new Error(`${target} is not reached by ${MOST_STOPS} times ${key}`);
}

const hasFocus = (target) => target.evaluate((element) => element === document.activeElement);
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("data-node") ?? document.activeElement?.textContent?.slice(0, 60) ?? "");
const isBack = (target, what) => until(`the focus is back on ${what}`, () => hasFocus(target), 5_000);

/** To a view by its link in the rail. */
async function rail(page, name, path) {
  await tabTo(page, page.getByRole("navigation", { name: "Views" }).getByRole("link", { name, exact: true }));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === path);
}

async function choose(page, name, key) {
  await tabTo(page, page.getByRole("combobox", { name, exact: true }));
  await page.keyboard.press(key);
}

test("the map by keys alone: walked, opened, left; as a table and a tree too", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await tabTo(page, page.locator("[data-node][tabindex='0']"));
  const begin = await focused(page);
  await page.keyboard.press("ArrowRight");
  const there = await focused(page);
  same(there !== begin && there.includes("page-"), true, `an arrow leads from ${begin} along a call, to ${there}`);
  same(await page.evaluate(unseen), null, "focus of a walk");
  const node = page.locator(`[data-node="${there}"]`);

  await page.keyboard.press("Enter");
  const panel = page.locator("[data-panel]");
  await panel.locator(".chart svg").first().waitFor();
  await tabTo(page, panel.getByRole("button", { name: "Show as table" }));
  await page.keyboard.press("Enter");
  await panel.getByRole("button", { name: "Show as chart" }).waitFor();
  const how = panel.locator(".how > button").first();
  await tabTo(page, how, "Shift+Tab");
  await page.keyboard.press("Enter");
  await panel.locator(".how pre").first().waitFor();
  await page.keyboard.press("Escape");
  await isBack(how, "what opened the box");
  same(await panel.count(), 1, "Escape closes one thing at a time");
  await tabTo(page, panel.locator(".flow-list button", { hasText: "page-" }));
  await page.keyboard.press("Enter");
  await panel.locator('[data-figure="calls"]').waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  await isBack(node, "the box it was opened from");

  // Leaving the neighbourhood of a node is another step than closing what was opened within.
  await page.keyboard.press("Enter");
  await tabTo(page, panel.getByRole("button", { name: "Look around it" }));
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Whole map" }).waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  same(await page.getByRole("button", { name: "Whole map" }).count(), 1, "the neighbourhood stays");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Whole map" }).waitFor({ state: "detached" });

  await tabTo(page, page.getByRole("button", { name: "Table", exact: true }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("columnheader", { name: /^p95/ }).getByRole("button"));
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort='descending']", { hasText: "p95" }).waitFor();
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort='ascending']", { hasText: "p95" }).waitFor();
  const row = page.locator("tbody tr[tabindex]").nth(1);
  await tabTo(page, page.locator("tbody tr[tabindex]"));
  await page.keyboard.press("ArrowDown");
  same(await hasFocus(row), true, "arrows walk the rows");
  await page.keyboard.press("Enter");
  await panel.waitFor();
  await page.keyboard.press("Escape");
  await isBack(row, "the row it was opened from");
  for (const [key, dialog] of [["?", "Keys"], ["Control+k", "Jump"]]) {
    await page.keyboard.press(key);
    await page.getByRole("dialog", { name: dialog }).waitFor();
    same(await page.evaluate(unseen), null, `focus of ${dialog}`);
    await page.keyboard.press("Escape");
    await isBack(row, `the row below ${dialog}`);
  }

  await tabTo(page, page.getByRole("button", { name: "Tree", exact: true }));
  await page.keyboard.press("Enter");
  const line = page.locator(".tree li > button:not(.fold)", { hasText: "page-auth" });
  await tabTo(page, line);
  await page.keyboard.press("Enter");
  await panel.waitFor();
  await page.keyboard.press("Escape");
  await isBack(line.first(), "the line it was opened from");

  const menu = page.getByRole("button", { name: "Export" });
  await tabTo(page, menu);
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: "CSV", exact: true }));
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  same(download.suggestedFilename().endsWith(".csv"), true, "what is exported");
  await isBack(menu, "the menu");
});

test("filters and times are chosen by keys alone", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator(`option[value="${truth.operation}"]`).waitFor({ state: "attached" });
  await tabTo(page, page.getByRole("link", { name: "Skip to the content" }));
  await choose(page, "Operation", "ArrowDown");
  await page.waitForURL(/operation=page_/);
  const time = page.getByRole("button", { name: /^Time/ });
  await tabTo(page, time);
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: "1 hour", exact: true }));
  await page.keyboard.press("Enter");
  await page.waitForURL(/window=1h/);
  await isBack(time, "the time");
  const more = page.getByRole("button", { name: "More filters" });
  await tabTo(page, more);
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("combobox", { name: "Service" }));
  await page.keyboard.type("page-auth");
  await page.keyboard.press("Enter");
  await page.waitForURL(/service=page-auth/);
  await tabTo(page, page.getByRole("checkbox", { name: "Health checks too" }));
  await page.keyboard.press("Space");
  await page.waitForURL(/probes=true/);
  await page.keyboard.press("Escape");
  await isBack(more, "the filters");
  await tabTo(page, page.locator(".chip", { hasText: "page-auth" }));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => !url.searchParams.has("service"));
});

test("every view is reached and used by keys alone", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();

  await rail(page, "Operations", "/operations");
  await tabTo(page, page.getByRole("columnheader", { name: /^p99/ }).getByRole("button"));
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort='descending']", { hasText: "p99" }).waitFor();
  await tabTo(page, page.locator("tbody tr[tabindex]", { hasText: truth.operation }));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.get("operation") === truth.operation);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();

  await rail(page, "Live", "/live");
  await page.getByRole("heading", { name: "Flows as they happen" }).waitFor();
  await page.keyboard.press("p");
  await page.getByRole("button", { name: /Resume/ }).waitFor();
  await page.keyboard.press("p");
  await tabTo(page, page.locator("tbody tr[tabindex]"));
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/flows\//);
  const call = page.locator(".story button").last();
  await tabTo(page, call);
  await page.keyboard.press("Enter");
  const details = page.locator(".span-details");
  await details.waitFor();
  await page.keyboard.press("Escape");
  await details.waitFor({ state: "detached" });
  await isBack(call, "the call, which was never left");
  const bar = page.locator(".span-row .grow").last();
  await tabTo(page, bar);
  await page.keyboard.press("Enter");
  await tabTo(page, details.getByRole("button", { name: "Close" }));
  await page.keyboard.press("Enter");
  await details.waitFor({ state: "detached" });
  await isBack(bar, "the bar it was opened from");
  await tabTo(page, page.getByRole("button", { name: "As JSON" }));
  await page.keyboard.press("Enter");
  await page.locator(".information .raw").waitFor();
  await tabTo(page, page.getByRole("link", { name: "Back" }));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/live");

  await rail(page, "Errors", "/errors");
  const heat = page.locator(".heatmap canvas");
  await tabTo(page, heat);
  const differs = page.getByRole("region", { name: "What sets these flows apart" });
  const region = async () => {
    for (const key of ["ArrowLeft", "Enter", "ArrowLeft", "ArrowLeft", ...Array.from({ length: 30 }, () => "ArrowUp")]) await page.keyboard.press(key);
    const asked = page.waitForRequest((request) => request.url().endsWith("/api/v1/diff"));
    await page.keyboard.press("Enter");
    const { selection } = JSON.parse((await asked).postData());
    same(Number(selection.startTime) < Number(selection.endTime) && Number(selection.minDuration) < Number(selection.maxDuration), true, "a region in time and latency");
    await differs.waitFor();
  };
  await region();
  await page.keyboard.press("Escape");
  await differs.waitFor({ state: "detached" });
  await isBack(heat, "the heatmap, which was never left");
  await region();
  await tabTo(page, differs.getByRole("button", { name: "Choose nothing" }));
  await page.keyboard.press("Enter");
  await differs.waitFor({ state: "detached" });
  await isBack(heat, "the heatmap");
  await tabTo(page, page.locator(".segments").getByRole("button", { name: "Service", exact: true }));
  await page.keyboard.press("Space");
  await page.locator(".segments button[aria-pressed='true']", { hasText: "Service" }).waitFor();
  await tabTo(page, page.locator("tbody a"));

  await rail(page, "Compare", "/compare");
  await choose(page, "Baseline", "ArrowDown");
  await page.waitForURL(/base=day/);
  await choose(page, "What", "ArrowDown");
  await page.waitForURL(/compare=environments/);
  await page.keyboard.press("ArrowUp");
  await page.waitForURL(/compare=times/);
  await tabTo(page, page.locator("tbody tr[tabindex]"));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.has("from"));
  await page.locator("[data-panel]").waitFor();

  await rail(page, "Status", "/status");
  await tabTo(page, page.getByRole("link", { name: "OpenAPI document" }));
  const light = page.locator(".freshness > button");
  await tabTo(page, light);
  await page.keyboard.press("Enter");
  await page.locator(".freshness pre").waitFor();
  await page.keyboard.press("Escape");
  await isBack(light, "the light");

  await tabTo(page, page.getByRole("button", { name: "User and settings" }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("link", { name: "Settings" }));
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.pathname === "/settings");
  await choose(page, "Theme", "ArrowDown");
  await page.locator('html[data-theme="light"]').waitFor();
  await page.keyboard.press("ArrowDown");
  await page.locator('html[data-theme="dark"]').waitFor();
  await rail(page, "Map", "/");
  for (const [key, path] of Object.entries({ o: "/operations", l: "/live", e: "/errors", c: "/compare", s: "/status", m: "/" })) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await page.waitForURL((url) => url.pathname === path);
  }
});
