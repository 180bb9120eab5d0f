// The live page in a real browser, over a running Weir (WEIR_TEST_HTTP, WEIR_TEST_API): spans are sent to ingest and
// the page has to show their graph without being reloaded. Prints what it checked; exits 1 if something was missing.
// Run from the folder that has the packages of package.json: node page.mjs [SCREENSHOT]
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const { WEIR_TEST_HTTP: ingest, WEIR_TEST_API: api } = process.env;
// Names of their own, so that other tests beside this one don't matter.
const environment = `page-${randomBytes(4).toString('hex')}`;
const PATIENCE_MS = 60_000;

const attribute = (key, value) => ({ key, value: { stringValue: value } });

// One flow of `page_login`: page-web calls page-auth.
function flow(failed) {
  const traceId = randomBytes(16).toString('hex');
  const [entry, client, server] = [1, 2, 3].map(() => randomBytes(8).toString('hex'));
  const now = BigInt(Date.now()) * 1_000_000n;
  const span = (spanId, parentSpanId, name, kind, ms, attributes = []) => ({
    traceId, spanId, parentSpanId, name, kind, attributes, status: failed ? { code: 2 } : {},
    startTimeUnixNano: String(now - BigInt(ms) * 1_000_000n), endTimeUnixNano: String(now),
  });
  const resource = (service, spans) => ({
    resource: { attributes: [attribute('service.name', service), attribute('deployment.environment.name', environment)] },
    scopeSpans: [{ spans }],
  });
  return [
    resource('page-web', [
      span(entry, '', 'POST /login', 2, 30, [attribute('weir.operation', 'page_login')]),
      span(client, entry, 'POST', 3, 25),
    ]),
    resource('page-auth', [span(server, client, 'POST /check', 2, 20)]),
  ];
}

async function send(flows, failed) {
  const resourceSpans = Array.from({ length: flows }, () => flow(failed)).flat();
  const answer = await fetch(`${ingest}/v1/traces`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ resourceSpans }),
  });
  if (!answer.ok) throw new Error(`ingest answered ${answer.status}`);
}

const problems = [];
const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-background-networking'] });
try {
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  page.on('pageerror', (error) => problems.push(`the page threw ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && problems.push(`the console says ${message.text()}`));
  // Passes everything on; on demand with a shard that is behind.
  let late = false;
  await page.routeWebSocket(/\/api\/v1\/live/, (socket) => {
    socket.connectToServer().onMessage((text) => {
      const frame = JSON.parse(text);
      if (late && frame.data.staleness) {
        frame.data.staleness.shards['0'] = { seq: 7, clock: 0, behindSeconds: 40, state: 'late', message: 'no commit for 40 s' };
      }
      socket.send(JSON.stringify(frame));
    });
  });
  await page.goto(api);
  await page.locator('#freshness[data-state]').waitFor();

  await send(20, false);
  await page.locator(`#environment option[value="${environment}"]`).waitFor({ state: 'attached' });
  await page.locator('#environment').selectOption(environment);
  const row = page.locator('#table-body tr', { hasText: 'page-web' }).filter({ hasText: 'page-auth' });
  await row.waitFor();
  console.log('ok  the call is in the table');
  await page.locator('#map', { hasText: 'page-auth' }).waitFor();
  console.log('ok  both services are on the map');
  await page.locator('#operation option', { hasText: 'page_login' }).waitFor({ state: 'attached' });
  console.log('ok  the operation can be chosen');

  const before = await row.innerText();
  await send(20, true);
  await page.waitForFunction(([was]) => {
    const rows = [...document.querySelectorAll('#table-body tr')].map((one) => one.innerText);
    return rows.some((text) => text.includes('page-auth') && text.includes('page-web') && text !== was);
  }, [before]);
  if (!/\b50 %/.test(await row.innerText())) {
    // The numbers may come in two steps.
    await row.filter({ hasText: '50 %' }).waitFor();
  }
  console.log('ok  failing calls arrive without a reload: 50 % errors');

  if (!await page.locator('#behind').isHidden()) throw new Error('a shard is said to be behind');
  late = true;
  await page.locator('#behind', { hasText: 'incomplete: shard 0: no commit for 40 s' }).waitFor();
  console.log('ok  a shard that is behind is told in words');
  if (process.argv[2]) await page.screenshot({ path: process.argv[2] });
} catch (error) {
  problems.push(error.message);
} finally {
  await browser.close();
}
for (const problem of problems) console.log(`failed: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);
