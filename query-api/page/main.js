// Puts the page together: what is chosen above, the map, the table, the flows below.

import { Feed } from "./feed.js";
import { GraphMap, icon, kindNames } from "./map.js";
import { Table } from "./table.js";
import { count, milliseconds, number, operationName, percent, windowWords } from "./words.js";

const OPERATIONS_MS = 5000;
const FLOWS_SHOWN = 12;
const find = (id) => document.getElementById(id);

const map = new GraphMap(find("map"));
const table = new Table(find("table-head"), find("table-body"));
let paused = false;
let waiting = 0;
let connection = "Connecting";
let known = { operations: [], environments: [] };
let withRare = false;
const flows = [];

const feed = new Feed({
  graph: (state) => {
    if (paused) showWaiting((waiting += 1));
    else show(state);
  },
  flow: (flow) => {
    flows.unshift(flow);
    flows.length = Math.min(flows.length, FLOWS_SHOWN);
  },
  connection: (words) => {
    connection = words;
    showFreshness();
  },
});

// Everything chosen is in the address, so that a link shows the same.
const ALL = "*";
const chosen = () => ({
  operation: find("operation").value,
  environment: find("environment").value === ALL ? "" : find("environment").value,
  window: find("window").value,
});

function showAddress() {
  const { operation, environment, window } = chosen();
  const query = new URLSearchParams(Object.entries({ operation, environment, window }).filter(([, value]) => value !== ""));
  find("api-link").href = `/api/v1/graph?${query}`;
  query.set("environment", find("environment").value);
  if (find("labels").value !== "all") query.set("labels", find("labels").value);
  history.replaceState(null, "", `?${query}`);
}

function watch() {
  const { operation, environment, window } = chosen();
  showAddress();
  find("flow-count-words").textContent = `flows in the last ${windowWords[window]}`;
  map.clear();
  flows.length = 0;
  feed.watch({ operation, environment, window });
}

function show(state) {
  showRare(map.show(state, withRare));
  table.show(state);
  showHeadline(state);
  showFreshness();
  showEmpty(state);
}

function showRare(hidden) {
  find("rare").hidden = hidden === 0 && !withRare;
  find("rare").textContent = withRare ? "Hide rare calls" : `${count(hidden)} rare ${hidden === 1 ? "call" : "calls"} not drawn`;
}

function showHeadline({ totals, beingNamed, window }) {
  find("flow-rate").textContent = number(totals.rate);
  find("flow-p95").textContent = milliseconds(totals.p95Latency);
  find("flow-errors").textContent = percent(totals.errorRate);
  find("flow-errors").classList.toggle("bad", totals.errorRate >= 0.05);
  find("flow-count").textContent = count(totals.flowCount);
  find("being-named").hidden = beingNamed === 0 || chosen().operation !== "";
  find("being-named").textContent = `${count(beingNamed)} young calls are being named`;
  const time = (us) => new Date(us / 1000).toLocaleTimeString();
  find("window-words").textContent = `${time(window.from)} to ${time(window.to)}, rates over ${number(window.seconds)} s`;
}

function showFreshness() {
  const { staleness } = feed.state;
  const words = connection ?? staleness?.message ?? "Connecting";
  find("freshness").dataset.state = light(connection, staleness);
  find("freshness-words").textContent = words.charAt(0).toUpperCase() + words.slice(1);
  const behind = connection ? [] : troubledShards(staleness);
  find("behind").hidden = behind.length === 0;
  find("behind").textContent = behind.length === 1
    ? `Numbers may be incomplete: ${behind[0]}`
    : `Numbers may be incomplete, ${behind.length} shards are behind: ${behind.slice(0, 3).join("; ")}${behind.length > 3 ? " …" : ""}`;
}

// In words, shard by shard: what is missing from the numbers, or may be.
const troubledShards = (staleness) =>
  Object.entries(staleness?.shards ?? {})
    .filter(([, { state }]) => state !== "live" && state !== "waiting")
    .map(([number, { message }]) => `shard ${number}: ${message}`);

function light(connection, staleness) {
  if (!staleness) return "waiting";
  if (connection) return "lost";
  if (!staleness.fresh) return "stale";
  return staleness.behindSeconds === null ? "waiting" : "live";
}

function showEmpty({ nodes, edges, staleness }) {
  const nothing = nodes.size === 0 && edges.size === 0 && map.isEmpty;
  find("map").hidden = nothing;
  find("empty").hidden = !nothing;
  if (!nothing) return;
  const { operation, environment, window } = chosen();
  const loading = staleness.loadedFrom === "none";
  const elsewhere = loading || known.operations.some((each) => !each.probe);
  find("empty-title").textContent = loading ? "One moment" : elsewhere ? "Nothing here in this window" : "No requests yet";
  const of = [operation && `of “${operationName(operation)}”`, environment && `in ${environment}`].filter(Boolean).join(" ");
  if (loading) find("empty-words").textContent = "The last 15 minutes are being loaded.";
  else find("empty-words").textContent = elsewhere
    ? `No calls ${of ? `${of} ` : ""}in the last ${windowWords[window]}; there were others in the last 15 minutes.`
    : "Weir draws what OpenTelemetry spans tell it. Point any OpenTelemetry SDK or Collector at it:";
  find("empty-snippet").hidden = elsewhere;
  find("empty-more").hidden = elsewhere;
  find("show-all").hidden = loading || !elsewhere;
}

function showFlows() {
  if (paused) return;
  find("flows-none").hidden = flows.length > 0;
  find("flows").replaceChildren(...flows.map((flow) => {
    const row = document.createElement("li");
    const failed = flow.status && flow.status !== "success";
    row.className = failed ? "failed" : "";
    const cell = (name, text) => {
      const element = document.createElement("span");
      element.className = name;
      element.textContent = text;
      return element;
    };
    const link = document.createElement("a");
    link.href = `/api/v1/traces/${encodeURIComponent(flow.flowId)}`;
    link.textContent = flow.flowId.slice(0, 8);
    link.title = `Spans of trace ${flow.flowId} as JSON`;
    const mark = cell("mark", flow.status === "timeout" ? "◷" : failed ? "✕" : "✓");
    mark.title = flow.status ?? "";
    const took = cell("took", flow.duration === undefined ? "" : milliseconds(flow.duration / 1000));
    row.append(mark, cell("what", operationName(flow.operationName)), took, link);
    return row;
  }));
}

function showWaiting(updates) {
  find("pause").textContent = paused ? (updates > 0 ? `Resume (${count(updates)} waiting)` : "Resume") : "Pause";
}

// Options are changed only where they differ: an open list must not jump.
function fill(select, first, entries, value) {
  const wanted = [first, ...entries];
  if (!wanted.some(([key]) => key === value)) wanted.push([value, value]);
  const have = [...select.options].map((option) => [option.value, option.textContent]);
  if (JSON.stringify(have) === JSON.stringify(wanted)) return;
  select.replaceChildren(...wanted.map(([key, words]) => new Option(words, key)));
  select.value = value;
}

const everyOperation = ["", "All operations"];
const everyEnvironment = [ALL, "All environments"];

async function loadOperations() {
  try {
    const answer = await fetch("/api/v1/operations");
    if (!answer.ok) return;
    known = await answer.json();
  } catch {
    return; // The freshness light tells about a lost connection already.
  }
  const { operation, environment } = chosen();
  const here = known.operations.filter((each) => !each.probe && each.name !== "" && (environment === "" || each.environment === environment));
  const names = [...new Set(here.map((each) => each.name))].sort();
  fill(find("operation"), everyOperation, names.map((name) => [name, operationName(name)]), operation);
  fill(find("environment"), everyEnvironment, known.environments.filter(Boolean).map((name) => [name, name]), find("environment").value);
}

// Environments are worlds apart: unless the address says otherwise, the busiest one is shown.
function busiestEnvironment() {
  const flows = new Map();
  for (const each of known.operations) if (!each.probe) flows.set(each.environment, (flows.get(each.environment) ?? 0) + each.count);
  const [busiest] = [...flows].filter(([name]) => name !== "").sort(([, a], [, b]) => b - a);
  return busiest?.[0] ?? ALL;
}

async function begin() {
  const query = new URLSearchParams(location.search);
  fill(find("operation"), everyOperation, [], query.get("operation") ?? "");
  fill(find("environment"), everyEnvironment, [], query.get("environment") ?? ALL);
  if (query.get("window") in windowWords) find("window").value = query.get("window");
  if ([...find("labels").options].some(({ value }) => value === query.get("labels"))) find("labels").value = query.get("labels");
  map.showLabels(find("labels").value);
  for (const id of ["operation", "environment", "window"]) find(id).addEventListener("change", watch);
  find("environment").addEventListener("change", loadOperations);
  find("labels").addEventListener("change", () => {
    map.showLabels(find("labels").value);
    showAddress();
  });
  find("tidy").addEventListener("click", () => {
    map.clear();
    show(feed.state);
  });
  find("rare").addEventListener("click", () => {
    withRare = !withRare;
    find("rare").setAttribute("aria-pressed", String(withRare));
    map.clear();
    show(feed.state);
  });
  find("show-all").addEventListener("click", () => {
    find("operation").value = "";
    find("environment").value = ALL;
    find("window").value = "15m";
    watch();
  });
  find("pause").addEventListener("click", () => {
    paused = !paused;
    waiting = 0;
    find("pause").setAttribute("aria-pressed", String(paused));
    showWaiting(0);
    if (!paused) show(feed.state);
  });
  for (const [kind, words] of Object.entries(kindNames)) {
    const entry = document.createElement("span");
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("viewBox", "0 0 16 16");
    picture.setAttribute("width", "13");
    picture.setAttribute("height", "13");
    picture.append(icon(kind));
    entry.append(picture, words);
    find("kinds").append(entry);
  }
  find("empty-snippet").textContent = [
    `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${location.hostname}:4318`,
    "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    "export OTEL_SERVICE_NAME=checkout",
  ].join("\n");
  theme();
  await loadOperations();
  if (!query.has("environment")) find("environment").value = busiestEnvironment();
  setInterval(loadOperations, OPERATIONS_MS);
  setInterval(showFlows, 1000);
  watch();
}

function theme() {
  const set = (name) => (document.documentElement.dataset.theme = name);
  const system = matchMedia("(prefers-color-scheme: dark)");
  let stored = null;
  try { stored = localStorage.getItem("weir-theme"); } catch { /* Private windows may refuse. */ }
  const asked = new URLSearchParams(location.search).get("theme");
  set(asked ?? stored ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => set(system.matches ? "dark" : "light"));
  find("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    set(next);
    try { localStorage.setItem("weir-theme", next); } catch { /* Then it lasts as long as the page. */ }
  });
}

begin();
