// The demo's workload, retries, late spans and all, is on the page as it was meant: its truth is written down as it is sent.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { api, ingest, same, test, until } from "./harness.mjs";

const { WEIR_TEST_BINARY: binary = "", WEIR_TEST_GRPC: grpc, WEIR_TEST_KAFKA: kafka, WEIR_TEST_CLICKHOUSE: clickhouse } = process.env;
const PROBE = "__probe__";
/** Late spans come up to a minute after the last flow has begun. */
const SENDS_FOR = "15s";

/** What was sent: flows by environment and operation, calls by edge, single flows. */
async function sent() {
  const program = join(dirname(binary), "loadtest");
  if (!existsSync(program)) {
    console.log("        skipped: there is no loadtest beside WEIR_TEST_BINARY");
    return null;
  }
  const folder = await mkdtemp(join(tmpdir(), "weir-demo-"));
  try {
    const truth = join(folder, "truth.json");
    const env = { ...process.env, WEIR_OTLP_GRPC: grpc, WEIR_OTLP_HTTP: ingest, WEIR_API: api, WEIR_KAFKA: kafka, WEIR_CLICKHOUSE: clickhouse };
    await promisify(execFile)(program, ["send", "--for", SENDS_FOR, "--truth", truth], { env });
    return JSON.parse(await readFile(truth, "utf8"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const number = (text) => Number(text.replaceAll(",", ""));

/** Rows of a table by the heads of its columns. */
const rows = (page) => page.locator("main table").first().evaluate((table) => {
  const heads = [...table.querySelectorAll("thead th")].map((head) => head.innerText.replace(/[↑↓]/, "").trim());
  return [...table.querySelectorAll("tbody tr")].map((row) => Object.fromEntries([...row.querySelectorAll("td")].map((cell, index) => [heads[index], cell.innerText.trim()])));
});

test("the demo's workload is on the page as it was meant", async (page) => {
  const truth = await sent();
  if (truth === null) return;
  const [first, last] = truth.range_us;
  // Lists go by when flows began: the first of them before its first span ended.
  const range = `startTime=${first - 60e6}&endTime=${last + 1e6}`;
  for (const environment of new Set(truth.operations.map(([[environment]]) => environment))) {
    const operations = truth.operations.filter(([[of, name]]) => of === environment && name !== PROBE);
    const sum = (count) => operations.reduce((all, [, counts]) => all + counts[count], 0);
    const here = `environment=${environment}&${range}`;
    await page.goto(`${api}/operations?${here}`);
    const expected = Object.fromEntries(operations.map(([[, name], { flows, errors }]) => [name, `${flows} flows, ${Math.round((1000 * errors) / flows)}‰ failed`]));
    let shown = {};
    await until(`operations of ${environment}`, async () => {
      shown = Object.fromEntries((await rows(page)).map((row) => [row.Operation, `${number(row.Flows)} flows, ${Math.round(10 * number(row["Errors, %"]))}‰ failed`]));
      return Object.entries(expected).every(([name, text]) => shown[name] === text);
    }).catch(() => same(shown, expected, `operations of ${environment}`));
    same(Object.keys(shown).length, operations.length, `operations of ${environment}`);
    same(number(await page.locator('.cards [data-figure="total"] b').getAttribute("title").then((title) => title.split("\n")[0])), sum("flows"), "all flows");

    await page.goto(`${api}/live?${here}`);
    const listed = page.locator('[data-figure="flows"]');
    // They are stored some seconds after they have ended, and a past that has ended isn't asked for again.
    await until(`all flows of ${environment} are listed`, async () => {
      await listed.waitFor();
      if (number((await listed.innerText()).match(/[\d,]+/)[0]) === sum("flows")) return true;
      await page.reload();
      return false;
    });

    for (const [[, operation]] of operations) {
      const calls = truth.edges.filter(([edge]) => edge.environment === environment && edge.operation === operation);
      await page.goto(`${api}/?${here}&operation=${operation}&as=table&rare=true`);
      await page.locator("tbody tr").first().waitFor();
      const found = await rows(page);
      const total = (head) => found.reduce((all, row) => all + number(row[head]), 0);
      const meant = (count) => calls.reduce((all, [, counts]) => all + counts[count], 0);
      same([total("Calls"), total("Failed"), total("Retries")], [meant("calls"), meant("errors"), meant("retries")], `calls of ${operation} in ${environment}`);
    }
  }
  for (const status of ["error", "success"]) {
    const [id, { spans }] = Object.entries(truth.flows).find(([, flow]) => flow.status === status && truth.operation_names[flow.operation][1] !== PROBE);
    await page.goto(`${api}/flows/${id}`);
    const information = page.locator(".information");
    await information.waitFor();
    const facts = await information.innerText();
    same([facts.includes(status), /Spans\s+(\d+)/.exec(facts)?.[1]], [true, String(spans)], `flow ${id}`);
  }
});
