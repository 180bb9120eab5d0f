// Draws the graph as SVG. Elements are made once and then only change their numbers.

import { edgeKey } from "./feed.js";
import { NODE_HEIGHT, NODE_WIDTH, layout, path } from "./layout.js";
import { count, milliseconds, number, percent, rate, sharedNames, trouble, whereabouts } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  service: "M8 1.5 13.6 4.7V11.3L8 14.5 2.4 11.3V4.7Z",
  client: "M2 3H14V11.5H2ZM5.5 14H10.5M8 11.5V14",
  user: "M8 2.2A2.9 2.9 0 1 1 8 8 2.9 2.9 0 1 1 8 2.2M2.6 14C3 10.8 5 9.8 8 9.8S13 10.8 13.4 14",
  database: "M2.5 4C2.5 1.6 13.5 1.6 13.5 4V12C13.5 14.4 2.5 14.4 2.5 12ZM2.5 4C2.5 6.4 13.5 6.4 13.5 4M2.5 8C2.5 10.4 13.5 10.4 13.5 8",
  topic: "M2 4.5H10M2 8H10M2 11.5H10M12 5.5 14.5 8 12 10.5",
  external: "M8 1.8A6.2 6.2 0 1 1 8 14.2 6.2 6.2 0 1 1 8 1.8M1.8 8H14.2M8 1.8C4.5 5 4.5 11 8 14.2 11.5 11 11.5 5 8 1.8",
  unknown: "M5.3 5.6C5.3 1.8 10.9 1.9 10.8 5.3 10.7 7.4 8 7.4 8 9.8M8 13V13.2",
};

export const kindNames = {
  client: "browser, app, CLI", user: "user", service: "service", database: "database", topic: "topic or queue", external: "external", unknown: "unknown",
};

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const icon = (kind) => make("path", { class: "icon", d: ICONS[kind] ?? ICONS.unknown });

export class GraphMap {
  #box;
  #svg = make("svg", { role: "group", "aria-label": "Map of calls" });
  #edgesLayer = make("g");
  #nodesLayer = make("g");
  #labelsLayer = make("g", { "aria-hidden": "true" });
  #nodes = new Map();
  #edges = new Map();
  #structure = "";
  #size = { width: 0, height: 0 };
  #labels = "all";

  constructor(box) {
    this.#box = box;
    this.#svg.append(this.#edgesLayer, this.#nodesLayer, this.#labelsLayer);
    box.append(this.#svg);
    new ResizeObserver(() => this.#fit()).observe(box);
  }

  showLabels(which) {
    this.#labels = which;
    for (const edge of this.#edges.values()) this.#showEdge(edge);
  }

  // Forgets everything, so that the next graph is laid out from nothing.
  clear() {
    for (const drawn of [...this.#nodes.values(), ...this.#edges.values()]) remove(drawn);
    this.#nodes.clear();
    this.#edges.clear();
    this.#structure = "";
  }

  get isEmpty() {
    return this.#nodes.size === 0;
  }

  // What is no longer in the graph stays, faded, where it was. Returns how many edges are left out as rare: what has
  // been drawn once isn't.
  show(state, withRare) {
    const drawn = [...state.edges].filter(([key, edge]) => withRare || this.#edges.has(key) || !isRare(edge, state.totals));
    for (const [key, edge] of drawn) this.#edge(key).edge = edge;
    const ends = new Set(drawn.flatMap(([, edge]) => [edge.from, edge.to]));
    for (const [id, node] of state.nodes) if (state.edges.size === 0 || ends.has(id) || this.#nodes.has(id)) this.#node(node).node = node;
    const structure = JSON.stringify([[...this.#nodes.keys()].sort(), [...this.#edges.keys()].sort()]);
    if (structure !== this.#structure) {
      this.#structure = structure;
      this.#place();
    }
    const shared = sharedNames([...this.#nodes.values()].map(({ node }) => node));
    for (const [id, drawn] of this.#nodes) {
      drawn.group.classList.toggle("ghost", !state.nodes.has(id));
      showNode(drawn, shared.has(drawn.node.service.name));
    }
    for (const [key, drawn] of this.#edges) {
      for (const part of [drawn.group, drawn.label]) part.classList.toggle("ghost", !state.edges.has(key));
      this.#showEdge(drawn);
    }
    return state.edges.size - drawn.length;
  }

  #node({ id, kind }) {
    const known = this.#nodes.get(id);
    if (known) return known;
    const name = make("text", { class: "name", x: 28, y: 19 });
    const numbers = make("text", { class: "numbers", x: 28, y: 35 });
    const failing = make("text", { class: "failing", x: NODE_WIDTH - 9, y: 35 });
    const caption = make("text", { class: "caption", x: 9, y: -5 });
    const share = make("rect", { class: "share", x: 6, y: NODE_HEIGHT - 4.5, height: 2.5, width: 0, rx: 1 });
    const title = make("title");
    const symbol = make("g", { transform: "translate(7.5 8) scale(.95)" }, icon(kind));
    const group = make("g", { class: kind === "service" ? "node" : "node virtual", tabindex: 0, role: "img" },
      make("rect", { class: "box", width: NODE_WIDTH, height: NODE_HEIGHT, rx: kind === "service" ? 8 : 14 }),
      make("rect", { class: "inner", x: 3.5, y: 3.5, width: NODE_WIDTH - 7, height: NODE_HEIGHT - 7, rx: 6 }),
      symbol, caption, name, failing, numbers, share, title);
    for (const event of ["pointerenter", "focus"]) group.addEventListener(event, () => this.#pick((edge) => edge.from === id || edge.to === id, id));
    for (const event of ["pointerleave", "blur"]) group.addEventListener(event, () => this.#pick(null));
    this.#nodesLayer.append(group);
    const drawn = { group, caption, name, failing, numbers, share, title };
    this.#nodes.set(id, drawn);
    return drawn;
  }

  #edge(key) {
    const known = this.#edges.get(key);
    if (known) return known;
    const line = make("path", { class: "edge-line" });
    const head = make("path", { class: "edge-head" });
    const hit = make("path", { class: "edge-hit" });
    const title = make("title");
    const group = make("g", { class: "edge" }, line, head, hit, title);
    group.addEventListener("pointerenter", () => this.#pick((edge) => edgeKey(edge) === key));
    group.addEventListener("pointerleave", () => this.#pick(null));
    const calm = make("tspan");
    const bad = make("tspan", { class: "trouble" });
    const label = make("text", { class: "label" }, calm, bad);
    this.#edgesLayer.append(group);
    this.#labelsLayer.append(label);
    const drawn = { group, line, head, hit, title, label, calm, bad };
    this.#edges.set(key, drawn);
    return drawn;
  }

  #place() {
    const nodes = [...this.#nodes.values()].map((drawn) => drawn.node);
    const edges = [...this.#edges].map(([key, { edge }]) => ({ key, from: edge.from, to: edge.to }));
    const before = new Map([...this.#nodes].filter(([, drawn]) => drawn.place).map(([id, drawn]) => [id, drawn.place.y]));
    const { places, routes, labels, width, height } = layout(nodes, edges, before);
    for (const [id, place] of places) {
      const drawn = this.#nodes.get(id);
      drawn.place = place;
      // The style sheet animates it; an attribute would jump.
      drawn.group.style.transform = `translate(${place.x}px, ${place.y - NODE_HEIGHT / 2}px)`;
    }
    for (const [key, drawn] of this.#edges) {
      const route = routes.get(key);
      for (const part of [drawn.group, drawn.label]) part.toggleAttribute("hidden", !route);
      if (!route) continue;
      const shape = path(route);
      drawn.line.setAttribute("d", shape);
      drawn.hit.setAttribute("d", shape);
      drawn.head.setAttribute("d", arrow(route));
      drawn.at = labels.get(key);
    }
    this.#size = { width, height };
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#fit();
  }

  // As wide as the page, but never larger than drawn, nor too small to read.
  #fit() {
    const room = this.#box.clientWidth - 24;
    const { width, height } = this.#size;
    const scale = Math.max(0.62, Math.min(1.15, room / width || 1));
    this.#svg.setAttribute("width", Math.round(width * scale));
    this.#svg.setAttribute("height", Math.round(height * scale));
  }

  #showEdge(drawn) {
    const { edge, line, group, label, calm, bad, at } = drawn;
    const step = trouble(edge.errorRate);
    line.setAttribute("stroke-width", (1.2 + 1.6 * Math.log10(1 + edge.rate)).toFixed(2));
    for (const part of [group, label]) {
      part.classList.toggle("some", step === "some");
      part.classList.toggle("many", step === "many");
    }
    group.classList.toggle("one-sided", edge.confidence < 0.5 && edge.latencySide !== "caller");
    drawn.title.textContent = edgeWords(edge);
    const [first, second] = edgeLabel(edge, this.#labels);
    calm.textContent = first;
    bad.textContent = second;
    const both = first !== "" && second !== "";
    for (const [part, dy] of [[calm, both ? -2 : 4], [bad, both ? 11 : 4]]) {
      part.setAttribute("x", at?.x ?? 0);
      part.setAttribute("y", (at?.y ?? 0) + dy);
    }
  }

  #pick(matches, node = null) {
    const near = new Set(node ? [node] : []);
    for (const { edge, group, label } of this.#edges.values()) {
      const picked = matches?.(edge) ?? false;
      if (picked) near.add(edge.from).add(edge.to);
      group.classList.toggle("picked", picked);
      for (const part of [group, label]) part.classList.toggle("dimmed", matches !== null && !picked);
    }
    for (const [id, { group }] of this.#nodes) {
      group.classList.toggle("dimmed", matches !== null && !near.has(id));
      group.classList.toggle("picked", id === node);
    }
  }
}

// Fewer than one call in a hundred flows, and hardly anything wrong with them: mostly halves of calls whose other half
// is late.
const isRare = (edge, { flowCount }) =>
  edge.callCount * 100 < flowCount && edge.errorCount + edge.rejected + edge.timeouts < 5;

function remove(drawn) {
  drawn.group.remove();
  drawn.label?.remove();
}

function arrow({ points, turned, self }) {
  const tip = turned ? points[0] : points.at(-1);
  if (self) return `M${tip.x} ${tip.y}l-4 -8h8z`;
  return turned ? `M${tip.x} ${tip.y}l9 -4.5v9z` : `M${tip.x} ${tip.y}l-9 -4.5v9z`;
}

function showNode({ node, group, caption, name, failing, numbers, share, title }, isAmbiguous) {
  const { metrics, service } = node;
  group.classList.toggle("degraded", node.status === "degraded");
  group.classList.toggle("down", node.status === "down");
  const errors = metrics.errorRate >= 0.01 ? percent(metrics.errorRate) : "";
  failing.textContent = errors;
  const [above, shown] = titled(node, isAmbiguous);
  caption.textContent = above;
  name.textContent = fitted(shown, NODE_WIDTH - 36);
  const words = [rate(metrics.rate)];
  if (metrics.p95Latency !== null) words.push(milliseconds(metrics.p95Latency));
  numbers.textContent = words.join(" · ");
  share.setAttribute("width", errors === "" ? 0 : Math.max(2, metrics.errorRate * (NODE_WIDTH - 12)));
  title.textContent = nodeWords(node);
  group.setAttribute("aria-label", title.textContent);
}

const ruler = document.createElement("canvas").getContext("2d");

// "postgresql:db/users" is "db/users" under a small "postgresql"; services that share a name show where they live.
function titled({ kind, service }, isAmbiguous) {
  const [system, ...rest] = service.name.split(":");
  if (kind !== "service" && rest.length > 0 && !/^\d+$/.test(rest[0])) return [system, rest.join(":")];
  return [isAmbiguous ? whereabouts(service) : "", service.name || kind];
}

// The text, or as much of it as fits the width: the middle is what names can spare.
function fitted(text, width) {
  ruler.font = `600 12.5px ${getComputedStyle(document.documentElement).fontFamily}`;
  let shown = text;
  for (let kept = text.length - 1; kept > 2 && ruler.measureText(shown).width > width; kept -= 1) {
    const tail = Math.floor(kept * 0.4);
    shown = `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`;
  }
  return shown;
}

function nodeWords({ kind, service, metrics, status, joined }) {
  const place = [service.namespace && `namespace ${service.namespace}`, service.versions.length > 0 && `version ${service.versions.join(", ")}`];
  return [
    [service.name, kindNames[kind], ...place.filter(Boolean)].join(", "),
    joined.length > 0 && `also called as ${joined.map((id) => id.replace(/^external:/, "")).join(", ")}`,
    `${number(metrics.rate)} requests a second, ${percent(metrics.errorRate)} errors, ${status}`,
    `p50 ${milliseconds(metrics.p50Latency)}, p95 ${milliseconds(metrics.p95Latency)}, p99 ${milliseconds(metrics.p99Latency)}`,
    metrics.avgSelfTime !== null && `own work ${milliseconds(metrics.avgSelfTime)} on average`,
  ].filter(Boolean).join("\n");
}

function edgeWords(edge) {
  return [
    `${edge.from} calls ${edge.to}`,
    `${number(edge.rate)} calls a second (${edge.callCount}), ${percent(edge.errorRate)} errors (${edge.errorCount})`,
    `${edge.retryCount} retries, ${edge.rejected} rejected, ${edge.timeouts} timed out`,
    `p50 ${milliseconds(edge.p50Latency)}, p95 ${milliseconds(edge.p95Latency)}, p99 ${milliseconds(edge.p99Latency)}` +
      (edge.latencySide ? `, measured by the ${edge.latencySide}` : ""),
    `seen from both sides: ${percent(edge.confidence)}`,
  ].join("\n");
}

function edgeLabel(edge, which) {
  const calm = [];
  if (which === "all" || which === "rate") calm.push(rate(edge.rate));
  if ((which === "all" || which === "p95") && edge.p95Latency !== null) calm.push(milliseconds(edge.p95Latency));
  const bad = [];
  if ((which === "all" && edge.errorRate >= 0.001) || which === "errors") bad.push(percent(edge.errorRate));
  if (which === "all" || which === "errors") {
    if (edge.retryCount > 0) bad.push(`↻${count(edge.retryCount)}`);
    if (edge.rejected > 0) bad.push(`⊘${count(edge.rejected)}`);
    if (edge.timeouts > 0) bad.push(`◷${count(edge.timeouts)}`);
  }
  return [calm.join(" · "), bad.join(" ")];
}
