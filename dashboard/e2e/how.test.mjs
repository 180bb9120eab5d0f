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
  }
  await page.locator("#freshness").click();
  same(await answered(await page.locator(".freshness pre").innerText()), "/api/v1/status", "of the light");
});
