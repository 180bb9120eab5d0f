// What telemetry says is text, whatever it says: nothing of it runs, becomes an element, or makes the page ask anybody else.
import { api, ask, exported, same, test, until } from "./harness.mjs";
import { HOSTILE, hostile } from "./hostile.mjs";
import { newEnvironment } from "./workload.mjs";

const environment = newEnvironment("safe");
let sent = null;

/** Everything that is sent, counted and stored; ids of flows by what is hostile in them. */
function prepare() {
  sent ??= (async () => {
    const flows = await hostile(environment);
    await until("hostile flows are counted and stored", async () => {
      const [{ operations }, { total }, { nodes }] = await Promise.all(["operations", "flows", "graph"].map((path) => ask(`/api/v1/${path}?environment=${environment}&window=15m`)));
      return operations.length >= Object.keys(HOSTILE).length && total === Object.keys(HOSTILE).length && nodes.length > Object.keys(HOSTILE).length;
    });
    return flows;
  })();
  return sent;
}

/** Runs in the page, before anything of it. */
function listen() {
  window.heard = [];
  window.ran = () => window.heard.push("something ran");
  document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => window.heard.push(`the policy refused ${violatedDirective} ${blockedURI}`));
}

/** What in the page is more than text; runs there. */
function more() {
  const bad = [...window.heard];
  for (const element of document.querySelectorAll("*")) {
    const { localName, attributes } = element;
    if (["img", "iframe", "object", "embed", "base", "form:not(.between)", "style", "foreignObject", "use", "image", "video", "audio"].includes(localName)) bad.push(`<${localName}>`);
    if (localName === "script" && !(element.src.startsWith(location.origin) && element.textContent === "")) bad.push(`<script> ${element.textContent}`);
    for (const { name, value } of attributes) {
      if (name.startsWith("on") || name === "srcdoc") bad.push(`${name} of <${localName}>`);
      if (["href", "src", "action", "formaction", "xlink:href"].includes(name) && !["http:", "https:"].includes(new URL(value, location.href).protocol)) bad.push(`${name}="${value}"`);
      if (["href", "src"].includes(name) && new URL(value, location.href).origin !== location.origin) bad.push(`${name}="${value}" leads away`);
    }
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text !== null; text = texts.nextNode()) {
    if (!/[\u202a-\u202e\u2066-\u2069]/.test(text.data)) continue;
    const { display, unicodeBidi } = getComputedStyle(text.parentElement);
    const isAlone = display === "inline" ? unicodeBidi === "isolate" : true;
    if (!isAlone || (text.nextSibling !== null && text.nextSibling.textContent.trim() !== "")) bad.push(`text that turns what follows it around: ${text.parentElement.outerHTML}`);
  }
  return bad;
}

/** Opens a page that is listened to; what it asks elsewhere, and dialogs, count too. */
async function guarded(page) {
  const outside = [];
  await page.addInitScript(listen);
  page.on("request", (request) => {
    const { origin, pathname, protocol } = new URL(request.url());
    if (protocol !== "blob:" && (origin !== new URL(api).origin || pathname === "/ran")) outside.push(`asked ${request.url()}`);
  });
  page.on("dialog", async (dialog) => {
    outside.push(`a dialog says ${dialog.message()}`);
    await dialog.dismiss();
  });
  return async (what) => same([...outside, ...(await page.evaluate(more))], [], `more than text in ${what}`);
}

/** That somebody who looks finds it. */
const shows = (page, text, what) => until(`${text} in ${what}`, () => page.evaluate((wanted) => document.body.textContent.includes(wanted), text), 20_000);

test("what is hostile would be noticed", async (page) => {
  // A page of its own: the console of the test's page may say nothing.
  const own = await page.context().newPage();
  const isClean = await guarded(own);
  await own.goto(api);
  await isClean("an honest page");
  await own.evaluate(() => document.body.insertAdjacentHTML("beforeend", `<img src=/ran onerror=ran()><a href="javascript:ran()">x</a>`));
  const found = await until("the policy speaks", async () => {
    const problem = await isClean("a page with markup").then(() => "", ({ message }) => message);
    return problem.includes("the policy refused") ? problem : null;
  });
  same(["<img>", "onerror of <img>", "javascript:ran()", "asked "].filter((words) => !found.includes(words)), [], `what was found: ${found}`);
});

test("hostile names and texts are text in every view", async (page) => {
  const flows = await prepare();
  const isClean = await guarded(page);
  const { nodes, edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const here = `environment=${environment}&live=15m`;
  const open = async (path, ready) => {
    await page.goto(api + path);
    await page.locator(ready).first().waitFor();
  };
  const { markup } = HOSTILE;

  for (const as of ["map&labels=all", "table", "tree"]) {
    await open(`/?${here}&rare=true&as=${as}`, { table: "tbody tr", tree: ".tree li" }[as] ?? "[data-node]");
    await shows(page, as.startsWith("map") ? "<img" : markup, as);
    await isClean(as);
  }
  for (const group of ["namespace", "cluster", "version"]) {
    await open(`/?${here}&rare=true&group=${group}`, "[data-node]");
    await shows(page, "<img", group);
    await isClean(`the map by ${group}`);
  }
  const called = nodes.find(({ kind, service }) => kind === "service" && service.name === markup);
  await open(`/?${here}&rare=true&node=${encodeURIComponent(called.id)}`, "[data-panel] .chart svg");
  await page.locator("[data-panel] table", { hasText: "Machine" }).waitFor();
  await shows(page, markup, "the panel of a node");
  await isClean("the panel of a node");
  for (const node of nodes.filter(({ id, service: { name } }) => id !== called.id && [markup, HOSTILE.bidi].some((text) => name.includes(text)))) {
    await page.evaluate((id) => {
      history.pushState(null, "", `${location.pathname}?${new URLSearchParams({ ...Object.fromEntries(new URLSearchParams(location.search)), node: id })}`);
      window.dispatchEvent(new PopStateEvent("popstate"));
    }, node.id);
    await page.locator("[data-panel] .panel-section").first().waitFor();
    await isClean(`the panel of ${node.id}`);
  }
  const call = edges.find(({ to }) => to === called.id);
  await open(`/?${here}&rare=true&from=${encodeURIComponent(call.from)}&to=${encodeURIComponent(call.to)}`, "[data-panel] .chart svg");
  await shows(page, markup, "the panel of calls");
  await isClean("the panel of calls");
  for (const how of await page.locator(".how > button").all()) {
    await how.click();
    await isClean("how did we get this");
    await page.keyboard.press("Escape");
  }

  await open(`/operations?${here}`, "tbody tr");
  await shows(page, markup, "operations");
  await isClean("operations");
  await open(`/live?${here}`, "tbody tr");
  await shows(page, markup, "lists of flows");
  await hostile(environment);
  await page.locator(".happens li", { hasText: markup }).first().waitFor();
  await isClean("flows as they happen");
  await open(`/errors?${here}&operation=${encodeURIComponent(markup)}`, ".heatmap canvas");
  await shows(page, markup, "errors");
  await page.getByRole("button", { name: "Failed flows against the others" }).click();
  await page.getByText(/chosen flows against/).waitFor();
  for (const by of ["Operation", "Service", "Calling"]) {
    await page.locator(".segments").getByRole("button", { name: by, exact: true }).click();
    await isClean(`errors by ${by}`);
  }
  await open(`/compare?${here}`, "tbody tr");
  await shows(page, "<img", "what is compared");
  await isClean("compare");
  await open(`/compare?${here}&compare=versions&of=${encodeURIComponent(markup)}&version=${encodeURIComponent(markup)}&baselineVersion=${encodeURIComponent(HOSTILE.link)}`, ".sides");
  await isClean("compared versions");
  await open("/status", "tbody tr");
  await isClean("status");

  for (const [name, id] of Object.entries(flows)) {
    await open(`/flows/${id}`, ".span-row");
    for (const row of await page.locator(".span-row .grow").all()) {
      await row.click();
      await page.locator(".span-details").waitFor();
      await isClean(`a span of the flow of ${name}`);
    }
    if (name !== "control") await shows(page, HOSTILE[name], `the flow of ${name}`);
    await page.getByRole("button", { name: "As JSON" }).first().click();
    await page.locator(".information .raw").waitFor();
    await isClean(`the flow of ${name}`);
    same(await page.locator(".links a, .span-details a").evaluateAll((links) => links.every(({ origin, pathname }) => origin === location.origin && /^\/flows\/[0-9a-f]{32}$/.test(pathname))), true, "links lead to flows");
  }
});

test("hostile names are text where one chooses among them", async (page) => {
  await prepare();
  const isClean = await guarded(page);
  await page.goto(`${api}/?environment=${environment}&live=15m&rare=true`);
  await page.locator("[data-node]").first().waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: /trace id/ }).fill("<img");
  await page.locator('[role="option"]', { hasText: HOSTILE.markup }).first().waitFor();
  await isClean("the jump dialog");
  await page.keyboard.press("Escape");
  for (const menu of ["More filters", "User and settings", /^Time/]) {
    await page.getByRole("button", { name: menu }).click();
    await isClean(`the menu ${menu}`);
    await page.keyboard.press("Escape");
  }
  await page.locator("#freshness").click();
  await isClean("the light");
  // An address is somebody else's text as well.
  const query = Object.entries({ environment: HOSTILE.markup, operation: HOSTILE.markup, service: HOSTILE.markup, namespace: HOSTILE.link, cluster: HOSTILE.bidi, find: HOSTILE.markup, hide: HOSTILE.drawing, focus: HOSTILE.markup, node: HOSTILE.markup, from: HOSTILE.link, to: HOSTILE.link, labels: HOSTILE.markup, group: HOSTILE.markup });
  for (const path of ["/", "/operations", "/live", "/errors", "/compare", "/settings", `/${encodeURIComponent(HOSTILE.markup)}`]) {
    await page.goto(`${api}${path}?${new URLSearchParams(query)}`);
    await page.locator("main").waitFor();
    await page.waitForLoadState("networkidle");
    await isClean(`the address of ${path}`);
  }
  await page.goto(`${api}//elsewhere.example/`);
  await page.getByText("There is no such page.").waitFor();
}, { allow: ["404", "400"] });

test("hostile names stay text in what is exported", async (page) => {
  await prepare();
  const isClean = await guarded(page);
  await page.goto(`${api}/?environment=${environment}&live=15m&rare=true`);
  await page.locator("[data-node]").first().waitFor();

  const csv = (await exported(page, "CSV")).toString();
  const cells = csv.split(/\r\n/).flatMap((row) => row.match(/"(?:[^"]|"")*"|[^,]*/g).map((cell) => cell.replace(/^"|"$/g, "")));
  same(cells.filter((cell) => /^[=+\-@\t\r\n]/.test(cell) && Number.isNaN(Number(cell))), [], "cells that a spreadsheet would run");
  same(csv.includes("HYPERLINK"), true, "the formula, as text");

  const mermaid = (await exported(page, "Mermaid")).toString();
  same(mermaid.trimEnd().split("\n").slice(1).filter((line) => !/^ {2}n\d+(\["[^"<>]*"\]| -->\|"[^"<>]*"\| n\d+)$/.test(line)), [], "lines of Mermaid that are neither box nor arrow");

  const svg = (await exported(page, "SVG")).toString();
  const drawn = await page.evaluate((text) => {
    const picture = new DOMParser().parseFromString(text, "image/svg+xml");
    const elements = [...picture.querySelectorAll("*")];
    return {
      broken: picture.querySelector("parsererror")?.textContent ?? "",
      names: [...new Set(elements.map(({ localName }) => localName))].sort(),
      attributes: [...new Set(elements.flatMap(({ attributes }) => [...attributes].map(({ name }) => name)))].filter((name) => name.startsWith("on") || name.includes("href")),
    };
  }, svg);
  same(drawn, { broken: "", names: ["g", "path", "rect", "svg", "text", "title", "tspan"], attributes: [] }, "what the picture is made of");
  same((await exported(page, "PNG")).toString("latin1", 1, 4), "PNG", "the same as a PNG");
  same(Object.keys(JSON.parse(await exported(page, "JSON"))), ["nodes", "edges"], "the same as JSON");
  await isClean("exports");
});

test("links to other tools are web addresses, or none", async (page) => {
  const { markup } = await prepare();
  const isClean = await guarded(page);
  const bad = "javascript:ran('{traceId}{service}')//https://";
  await page.goto(`${api}/settings`);
  for (const name of ["Link to another trace viewer", "Link to logs"]) {
    await page.getByLabel(name).fill(bad);
    await page.getByText("An address begins with https:// or http://.").first().waitFor();
  }
  const { nodes } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const node = encodeURIComponent(nodes.find(({ kind }) => kind === "service").id);
  const places = [[`/flows/${markup}`, ".information"], [`/?environment=${environment}&live=15m&node=${node}`, ".panel-actions"]];
  for (const [path, place] of places) {
    await page.goto(api + path);
    await page.locator(place).waitFor();
    same(await page.locator(`${place} a[target]`).count(), 0, `links of ${path}`);
    await isClean(path);
  }
  // What is filled in stays within its part of the address.
  const good = "https://tools.example/{traceId}?q={service}&n={namespace}";
  await page.evaluate((link) => localStorage.setItem("weir-settings", JSON.stringify({ traceLink: link, logsLink: link })), good);
  for (const [path, place] of places) {
    await page.goto(api + path);
    const link = page.locator(`${place} a[target]`);
    const { origin, pathname, hash, searchParams } = new URL(await link.getAttribute("href"));
    same([origin, pathname.split("/").length, hash, [...searchParams.keys()], await link.getAttribute("rel")], ["https://tools.example", 2, "", ["q", "n"], "noreferrer"], `the link of ${path}`);
  }
});
