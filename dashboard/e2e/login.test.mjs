// Logging in at a real OpenID provider, what each role sees, sessions that end, and logging out.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { same, test, until } from "./harness.mjs";
import { freePort, queryApi } from "./server.mjs";
import { environment, prepare, truth } from "./workload.mjs";

/** Anybody who is in the group of a role has it; viewers know of one environment. */
const access = (issuer, origin, folder) => `
[[grant]]
name = "viewers"
role = "viewer"
environments = ["${environment}"]
claims = ["viewer"]
[[grant]]
name = "analysts"
role = "analyst"
claims = ["analyst"]
[oidc]
issuer = "${issuer}"
[oidc.login]
client-id = "weir"
client-secret-file = "${folder}/secret"
public-url = "${origin}"
`;

/** A provider, and a query-api that trusts it. Without a key of its own every start of the latter ends all sessions. */
async function site(run) {
  const folder = mkdtempSync(join(tmpdir(), "weir-login-"));
  const server = await queryApi(["--auth", join(folder, "access.toml")]);
  if (server === null) return;
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  writeFileSync(join(folder, "access.toml"), access(issuer, server.origin, folder));
  writeFileSync(join(folder, "secret"), "secret of the test");
  const provider = spawn(process.execPath, ["e2e/provider.mjs", String(port), `${server.origin}/auth/callback`], { stdio: "ignore" });
  try {
    await until("the provider", () => fetch(`${issuer}/.well-known/openid-configuration`).then(({ ok }) => ok, () => false));
    await server.start();
    await run({ ...server, issuer });
  } finally {
    await server.kill();
    provider.kill();
    rmSync(folder, { recursive: true });
  }
}

async function logIn(page, issuer, name) {
  await page.waitForURL((url) => url.origin === issuer);
  await page.getByPlaceholder("Enter any login").fill(name);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

const node = (page) => page.locator("[data-node]", { hasText: "page-auth" });
const openMenu = (page) => page.getByRole("button", { name: "User and settings" }).click();

test("a viewer logs in, sees what viewers may, comes back after the session's end, and logs out", async (page) => {
  await prepare();
  await site(async ({ origin, issuer, start, kill }) => {
    // The provider's page asks for a font from elsewhere.
    await page.route((url) => url.hostname !== "127.0.0.1", (route) => route.abort());
    const here = `${origin}/?environment=${environment}&live=15m&labels=p99`;
    await page.goto(here);
    await logIn(page, issuer, "viewer");
    await page.waitForURL(here);
    await node(page).waitFor();
    const session = (await page.context().cookies(origin)).find(({ name }) => name === "weir-session");
    same([session.httpOnly, session.sameSite], [true, "Lax"], "the cookie");
    same(await page.evaluate(() => document.cookie.includes("weir") || Object.values({ ...localStorage, ...window.sessionStorage }).join().includes("eyJ")), false, "what scripts can read");

    await openMenu(page);
    const menu = page.locator(".user .menu-box");
    same((await menu.locator("dd").allInnerTexts()).map((text) => text.split(":")[0]), ["oidc", "viewer", environment, "all"], "who it is and may know of");
    await menu.getByRole("heading", { name: "viewer of the test" }).waitFor();
    same(await page.getByRole("combobox", { name: "Environment" }).locator("option").allInnerTexts(), ["All environments", environment], "environments");
    // That nothing was asked that viewers may not ask is in the console, which says errors.
    await node(page).click();
    await page.locator("[data-panel]").getByText("Single flows are shown to analysts only.").waitFor();
    for (const path of ["/errors", "/live"]) {
      await page.goto(`${origin}${path}?environment=${environment}`);
      await page.getByText("Single flows are shown to analysts only.").waitFor();
    }

    await page.goto(here);
    await node(page).waitFor();
    await kill();
    await start();
    await page.getByRole("alert").getByText("Your session has ended.").waitFor();
    same(await node(page).count(), 1, "what was shown stays");
    // The provider still knows the browser, and asks nothing.
    await page.getByRole("link", { name: "Log in again" }).click();
    await page.waitForURL(here);
    await node(page).waitFor();

    await openMenu(page);
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "You have logged out" }).waitFor();
    same([await node(page).count(), (await page.context().cookies(origin)).some(({ name }) => name === "weir-session")], [0, false], "what is left");
    await page.getByRole("link", { name: "Log in" }).click();
    await page.waitForURL(here);
    await node(page).waitFor();
  });
}, { allow: ["401", "WebSocket", "ERR_CONNECTION_REFUSED", "ERR_FAILED"] });

test("an analyst sees single flows and errors too, and somebody who was granted nothing is told", async (page) => {
  const { failed } = await prepare();
  await site(async ({ origin, issuer }) => {
    await page.route((url) => url.hostname !== "127.0.0.1", (route) => route.abort());
    await page.goto(`${origin}/flows/${failed}`);
    await logIn(page, issuer, "analyst");
    await page.waitForURL(`${origin}/flows/${failed}`);
    await page.locator(".span-row").first().waitFor();
    await page.goto(`${origin}/errors?environment=${environment}&operation=${truth.operation}`);
    await page.locator("tbody tr", { hasText: "wrong password" }).first().waitFor();
    await page.context().clearCookies();
    await page.goto(origin);
    await logIn(page, issuer, "stranger");
    await page.getByText("nothing is granted to you here").waitFor();
  });
}, { allow: ["ERR_FAILED", "403"] });
