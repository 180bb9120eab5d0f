// A Weir that knows nothing yet, as a new user meets it. Belongs before all tests that send something.
import { execFileSync } from "node:child_process";
import { api, ask, ingest, same, test } from "./harness.mjs";

test("an empty page says how to send the first span, and what it says works", async (page) => {
  const { operations } = await ask("/api/v1/operations?window=15m");
  if (operations.length > 0) return console.log("        skipped: this Weir has seen flows");
  await page.goto(api);
  const snippet = await page.locator(".empty pre").first().innerText();
  same(snippet.includes("http://127.0.0.1:4318/v1/traces"), true, "where ingest listens by default");
  execFileSync("sh", ["-ec", snippet.replace("http://127.0.0.1:4318", ingest)]);
  await page.locator("[data-node]", { hasText: "hello" }).waitFor();
  await page.locator('[data-figure="total"] b', { hasText: "1" }).waitFor();
});
