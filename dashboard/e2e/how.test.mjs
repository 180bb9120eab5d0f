// "How did we get this number": every part with numbers gives the call, and the call is answered.
import { api, ask, same, test, until } from "./harness.mjs";
import { environment, prepare, truth } from "./workload.mjs";

/** What a shell would ask: addresses of GET, and bodies of POST. */
async function calls(page) {
  const found = new Set();
  for (const button of await page.locator(".how > button").all()) {
    await button.click();
    for (const text of await page.locator(".how pre").allInnerTexts()) found.add(text);
    await page.keyboard.press("Escape");
  }
  return [...found];
}

async function answered(command) {
  const [, url, body] = command.match(/^curl (?:-N )?'([^']+)'(?: -H 'content-type: application\/json' -d '([^']+)')?$/) ?? [];
  same(url === undefined, false, `a command that is understood: ${command}`);
  const answer = await fetch(url, body && { method: "POST", headers: { "content-type": "application/json" }, body });
  // Streams go on.
  await answer.body.cancel();
  same([url, answer.status], [url, 200], "answered");
  return new URL(url).pathname;
}

/** Numbers, wherever they stand, that don't say what they are of and who gave them; runs in the page. */
function silent() {
  const numbers = ".card-figure b, .figures b, td.number, .chart-now, .chart-words, .flow-list b, .flow-list .number, [data-figure]:is(span), .happens .number, .overview-words, .tree li b, .strip b, .took, .span-time, .differs .number";
  const told = [...document.querySelectorAll(numbers)].map((element) => [element, element.closest("[title]")?.title ?? ""]);
  const drawn = [...document.querySelectorAll("[data-node], [data-edge]:not(.quiet)")].map((element) => [element, element.querySelector("title").textContent]);
  if (told.length + drawn.length === 0) return ["there are no numbers"];
  return [...told, ...drawn].filter(([element, text]) => /\d/.test(element.textContent) && !text.includes("/api/v1/")).map(([element, text]) => `${element.outerHTML.slice(0, 120)} says "${text}"`);
}

test("every part that shows numbers gives a call that is answered", async (page) => {
  const { failed } = await prepare();
  const { nodes, edges } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const auth = nodes.find(({ service }) => service.name === "page-auth");
  const edge = edges.find(({ to, from }) => to === auth.id && from.includes("page-web"));
  const here = `environment=${environment}&live=15m`;
  const stats = `/api/v1/services/page-auth/stats`;
  const edgeStats = `/api/v1/edges/${encodeURIComponent(edge.from)}/${encodeURIComponent(edge.to)}/stats`;
  await until("the flow is stored", async () => ask(`/api/v1/flows/${failed}`).then(() => true, () => false));
  // How many parts have one, and what they ask.
  const expected = [
    [`/?${here}&node=${encodeURIComponent(auth.id)}`, ".panel table", 10, ["/api/v1/graph", stats, "/api/v1/heatmap", "/api/v1/services/page-auth/endpoints", "/api/v1/services/page-auth", "/api/v1/flows"]],
    [`/?${here}&from=${encodeURIComponent(edge.from)}&to=${encodeURIComponent(edge.to)}`, ".panel .chart svg", 6, ["/api/v1/graph", edgeStats, "/api/v1/heatmap"]],
    [`/?${here}&group=namespace`, "[data-node]", 2, ["/api/v1/dependencies"]],
    [`/?${here}&as=table`, "tbody tr", 2, ["/api/v1/graph"]],
    [`/?${here}&as=tree`, ".tree li", 2, ["/api/v1/graph"]],
    [`/operations?${here}`, "tbody tr", 2, ["/api/v1/operations", `/api/v1/operations/${truth.operation}/stats`]],
    [`/live?${here}`, "tbody tr", 3, ["/api/v1/events", "/api/v1/flows"]],
    [`/errors?${here}&operation=${truth.operation}`, ".heatmap canvas", 4, ["/api/v1/heatmap", "/api/v1/errors", "/api/v1/diff"]],
    [`/compare?${here}`, "tbody tr", 2, ["/api/v1/dependencies/compare"]],
    [`/flows/${failed}`, ".span-row", 1, [`/api/v1/flows/${failed}`, `/api/v1/traces/${failed}`]],
    ["/status", "tbody tr", 1, ["/api/v1/status"]],
  ];
  for (const [path, ready, parts, paths] of expected) {
    await page.goto(api + path);
    await page.locator(ready).first().waitFor();
    if (path.startsWith("/errors")) await page.getByRole("button", { name: "Failed flows against the others" }).click();
    await until(`${parts} parts of ${path}`, async () => (await page.locator(".how").count()) === parts);
    const asked = await Promise.all((await calls(page)).map(answered));
    same(paths.filter((each) => !asked.includes(each)), [], `what ${path} doesn't tell`);
    same(await page.evaluate(silent), [], `numbers of ${path} that don't tell where they are from`);
  }
  await page.locator("#freshness").click();
  same(await answered(await page.locator(".freshness pre").innerText()), "/api/v1/status", "of the light");
});

test("a number says the time it is of", async (page) => {
  await prepare();
  for (const [time, words] of [["live=15m", "Live, 15 minutes"], ["window=1h", "Last 1 hour"]]) {
    await page.goto(`${api}/?environment=${environment}&${time}`);
    const total = page.locator('[data-figure="total"] b');
    await until("flows", async () => Number(await total.innerText()) > 0);
    same(await total.getAttribute("title"), `${await total.innerText()}\n${words}\n/api/v1/graph`, "what the number of flows says");
  }
});

for (const [isSecure, where] of [[true, "a secure page"], [false, "a page over plain HTTP"]]) {
  test(`a call is copied on ${where}`, async (page) => {
    await prepare();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    // 127.0.0.1 is as secure as HTTPS.
    if (!isSecure) await page.addInitScript(() => Object.defineProperty(window, "isSecureContext", { value: false }));
    await page.goto(`${api}/?environment=${environment}&live=15m`);
    await page.locator("[data-node]").first().waitFor();
    await page.locator(".cards .how > button").click();
    const copy = page.locator(".cards .how .menu-box button");
    await copy.click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    same(await page.evaluate(() => navigator.clipboard.readText()), await page.locator(".cards .how pre").innerText(), "what is in the clipboard");
    same(await copy.evaluate((button) => button === document.activeElement), true, "the focus stays");
  });
}
