// Filters, links, keys, and connections that break.
import { api, same, test, until } from "./harness.mjs";
import { queryApi } from "./server.mjs";
import { environment, prepare, truth } from "./workload.mjs";

test("filters are in the address; the back button and a reload show the same", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator(`option[value="${truth.operation}"]`).waitFor({ state: "attached" });
  await page.getByRole("combobox", { name: "Operation" }).selectOption(truth.operation);
  await page.waitForURL(/operation=page_login/);
  await page.getByRole("button", { name: /^Time/ }).click();
  await page.getByRole("button", { name: "1 hour", exact: true }).click();
  await page.waitForURL(/window=1h/);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.reload();
  same(await page.getByRole("combobox", { name: "Operation" }).inputValue(), truth.operation, "the operation after a reload");
  await page.goBack();
  await page.waitForURL((url) => url.searchParams.get("live") === "15m");
  await page.goBack();
  await page.waitForURL((url) => !url.searchParams.has("operation"));
});

test("without an environment in the address one is chosen before anything is asked, and it stays there", async (page) => {
  await prepare();
  const questions = [];
  page.on("request", (request) => questions.push(new URL(request.url())));
  for (const [path, ready] of [["/?group=namespace", "[data-node]"], ["/operations", "tbody tr"], ["/compare", ".sides"]]) {
    await page.goto(api + path);
    await page.locator(ready).first().waitFor();
    await page.waitForURL((url) => url.searchParams.has("environment"));
  }
  // What there is to choose from is asked for without a time.
  const open = questions.filter(({ pathname, searchParams }) => pathname.startsWith("/api/v1/") && [...searchParams].length > 0 && !searchParams.has("environment"));
  same(open.map(String), [], "questions about all environments");
});

test("a view's own address opens that view, and an unknown one says so", async (page) => {
  for (const [path, words] of [["/operations", "Operations"], ["/live", "Flows as they happen"], ["/compare", "Compare"], ["/status", "Status"], ["/settings", "Settings"]]) {
    await page.goto(`${api}${path}`);
    await page.getByRole("heading", { name: words }).first().waitFor();
  }
  await page.goto(`${api}/no/such/view`);
  await page.getByText("There is no such page.").waitFor();
});

test("everything is reached with keys alone", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  // At once, as somebody types who knows the keys: none is lost.
  await Promise.all(["Escape", "/"].map((key) => page.keyboard.press(key)));
  same(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Find on the map", "focus of /");
  await page.locator("[data-node][tabindex='0']").focus();
  await page.keyboard.press("ArrowRight");
  same(await page.evaluate(() => document.activeElement?.getAttribute("data-node")?.includes("page-")), true, "a node has the focus");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: /trace id/ }).waitFor();
  await Promise.all(["Escape", "Enter"].map((key) => page.keyboard.press(key)));
  await page.locator("[data-panel]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("[data-panel]").waitFor({ state: "detached" });
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: /trace id/ }).fill("page-auth");
  await page.locator('[role="option"]', { hasText: "page-auth" }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator("[data-panel] h2", { hasText: "page-auth" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.waitForURL(/\/status/);
});

test("pause holds the world still and counts what waits", async (page) => {
  const { more } = await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m&as=table`);
  const row = page.locator("tbody tr", { hasText: "page-auth" }).first();
  await row.waitFor();
  await page.keyboard.press("p");
  const held = await row.innerText();
  await more();
  await page.getByRole("button", { name: /Resume \([1-9]/ }).waitFor();
  same(await row.innerText(), held, "what is held");
  await page.keyboard.press("p");
  await until("the row goes on", async () => (await row.innerText()) !== held);
});

test("a query-api that is killed and comes back is told, and the page goes on by itself", async (page) => {
  const server = await queryApi();
  if (server === null) return;
  await prepare();
  await server.start();
  try {
    await page.goto(`${server.origin}/?environment=${environment}&live=15m`);
    await page.locator('#freshness[data-light="live"]').waitFor();
    await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
    await server.kill();
    await page.locator('#freshness[data-light="lost"]', { hasText: "reconnecting" }).waitFor();
    same(await page.locator("[data-node]", { hasText: "page-auth" }).count(), 1, "what was shown stays");
    await server.start();
    await page.locator('#freshness[data-light="live"]').waitFor();
  } finally {
    await server.kill();
  }
}, { allow: ["WebSocket", "ERR_CONNECTION_REFUSED", "Failed to load resource"] });

test("a session that has ended is told, with the way back in, and what is shown stays", async (page) => {
  await prepare();
  await page.goto(`${api}/?environment=${environment}&live=15m`);
  await page.locator("[data-node]", { hasText: "page-auth" }).waitFor();
  await page.route("**/api/v1/operations*", (route) => route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ status: 401, title: "Unauthorized", detail: "say who you are", code: "unauthorized" }) }));
  const again = page.getByRole("link", { name: "Log in again" });
  await again.waitFor();
  const next = new URL(await again.getAttribute("href"), api).searchParams.get("next");
  same(next, new URL(page.url()).pathname + new URL(page.url()).search, "where the login leads back to");
  same(await page.locator("[data-node]", { hasText: "page-auth" }).count(), 1, "what was shown stays");
}, { allow: ["401"] });

test("a range that the store can't answer is refused in words, and can be asked again", async (page) => {
  let away = true;
  await page.route("**/api/v1/graph?*", (route) => (away
    ? route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ status: 503, title: "Service Unavailable", detail: "ClickHouse does not answer", code: "store_unavailable" }) })
    : route.continue()));
  await page.goto(`${api}/?environment=${environment}&window=1h`);
  await page.getByText("ClickHouse does not answer").waitFor();
  await page.locator('#freshness[data-light="lost"]').waitFor();
  away = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator('#freshness[data-light="past"]').waitFor();
}, { allow: ["503"] });
