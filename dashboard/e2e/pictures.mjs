// The pictures of the README, from a running `weir demo`: node e2e/pictures.mjs FOLDER (WEIR_TEST_API).
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { api, ask } from "./harness.mjs";

const folder = process.argv[2] ?? "../docs/images";
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-background-networking"] });

async function picture(name, path, ready, { theme = "light", act = async () => {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.addInitScript((chosen) => localStorage.setItem("weir-settings", JSON.stringify({ theme: chosen })), theme);
  await page.goto(api + path);
  await page.locator(ready).first().waitFor();
  await act(page);
  await page.waitForTimeout(3_000);
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await context.close();
  console.log(`${folder}/${name}.png`);
}

const here = "environment=production";
const { flows } = await ask("/api/v1/flows?operation=create_vm&environment=production&status=error&pageSize=1");
await picture("map", `/?${here}`, "[data-node]");
await picture("panel", `/?${here}&operation=create_vm`, "[data-node]", {
  theme: "dark",
  act: async (page) => {
    await page.locator("[data-node]", { hasText: "scheduler-service" }).click();
    await page.locator("[data-panel] .chart svg").first().waitFor();
  },
});
await picture("flow", `/flows/${flows[0].flowId}`, ".span-row");
await picture("errors", `/errors?${here}&operation=create_vm`, ".heatmap canvas", {
  act: async (page) => {
    await page.getByRole("button", { name: "Failed flows against the others" }).click();
    await page.locator(".differs li").first().waitFor();
  },
});
await browser.close();
