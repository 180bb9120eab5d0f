// Tests in a real Chromium: each has a page of its own, and fails when the page throws or its console says an error.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

export const { WEIR_TEST_HTTP: ingest = "http://127.0.0.1:4318", WEIR_TEST_API: api = "http://127.0.0.1:8080" } = process.env;
const PATIENCE_MS = 60_000;
const tests = [];

/** `options.allow`: words of console errors that belong to the test. */
export const test = (name, run, options = {}) => tests.push({ name, run, options });

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));
const ARGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function runAll(only = "") {
  const browser = await chromium.launch({ executablePath, args: ARGS });
  let failed = 0;
  for (const { name, run, options } of tests.filter((each) => each.name.includes(only))) {
    const problem = await one(browser, run, options);
    if (problem !== null) failed += 1;
    console.log(problem === null ? `ok      ${name}` : `failed  ${name}: ${problem}`);
  }
  await browser.close();
  return failed;
}

async function one(browser, run, { allow = [], ...context }) {
  const problems = [];
  // A context of its own: axe opens pages beside the one it looks at.
  const own = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...context });
  const page = await own.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => problems.push(`the page threw ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !allow.some((words) => message.text().includes(words))) problems.push(`the console says ${message.text()}`);
  });
  try {
    await run(page);
  } catch (error) {
    problems.push(error.stack?.split("\n").slice(0, 4).join(" ") ?? String(error));
    if (process.env.WEIR_TEST_SHOTS) await page.screenshot({ path: `${process.env.WEIR_TEST_SHOTS}/failed-${Date.now()}.png` }).catch(() => {});
  } finally {
    await own.close();
  }
  return problems.length === 0 ? null : problems.join("; ");
}

export async function ask(path) {
  const answer = await fetch(api + path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Calls until it gives something, or time is up. */
export async function until(what, look, patience = PATIENCE_MS) {
  const end = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

export function same(found, expected, what) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}

/** What the map writes in this form. */
export async function exported(page, form) {
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: form, exact: true }).click()]);
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
