// The numbers that stand on nodes and edges, by the reader's choice.

import type { Edge, Node } from "../api/client";
import { latency, number, percent, rate } from "../format/numbers";
import { plain, type namer } from "../format/names";
import { words } from "../words";

export const LABELS = ["all", "rate", "p50", "p95", "p99", "errors", "none"] as const;
/** Of one flow there is no rate and no percentile: how long its calls took, and how many they were. */
export type Label = (typeof LABELS)[number] | "flow";

const LATENCIES = { p50: "p50Latency", p95: "p95Latency", p99: "p99Latency" } as const;

/** The big number of a node, and what it is. */
export function nodeFigure({ metrics }: Node, label: Label): [string, string] {
  if (label === "flow") return [latency(metrics.avgLatency), metrics.requestCount > 1 ? words.map.onAverage : ""];
  if (label === "rate") return [rate(metrics.rate), words.map.label.rate];
  if (label === "errors") return [percent(metrics.errorRate), words.map.label.errors];
  const which = label === "all" || label === "none" ? "p95" : label;
  return [latency(metrics[LATENCIES[which]]), which];
}

/** What stands at the right of it: what is amiss, or how much there is. */
export function nodeBeside({ metrics }: Node, label: Label, level: string): string {
  if (label === "flow") return metrics.errorCount > 0 ? failed(metrics.errorCount, metrics.requestCount) : metrics.requestCount > 1 ? `${number(metrics.requestCount)}×` : "";
  return level === "" ? rate(metrics.rate) : percent(metrics.errorRate);
}

const failed = (errors: number, all: number) => (all > 1 ? `✕ ${number(errors)}/${number(all)}` : "✕");

/** What is calm and what isn't: the second stands out. */
export function edgeFigures(edge: Edge, label: Label): [string, string] {
  if (label === "none") return ["", ""];
  if (label === "flow") {
    const often = edge.callCount > 1 ? `${number(edge.callCount)}× ` : "";
    return [often + latency(edge.avgLatency), [...(edge.errorCount > 0 ? [failed(edge.errorCount, edge.callCount)] : []), ...glyphs(edge)].join(" ")];
  }
  const calm: string[] = [];
  if (label === "all" || label === "rate") calm.push(rate(edge.rate));
  const which = label === "all" ? "p95" : label;
  if (which in LATENCIES) {
    const value = edge[LATENCIES[which as keyof typeof LATENCIES]];
    if (value !== null && value !== undefined) calm.push(latency(value));
  }
  const bad: string[] = [];
  if ((label === "all" && edge.errorRate >= 0.001) || label === "errors") bad.push(percent(edge.errorRate));
  return [calm.join(" · "), [...bad, ...glyphs(edge)].join(" ")];
}

/** Retries, rejections and time-outs, with counts. */
export function glyphs({ retryCount, rejected, timeouts }: Edge): string[] {
  return ([["↻", retryCount], ["⊘", rejected], ["◷", timeouts]] as const).filter(([, count]) => count > 0).map(([glyph, count]) => `${glyph}${number(count)}`);
}

/** Fewer than half of its calls were seen from both sides. Where there is only one, as with databases, all calls count as seen. */
export const isOneSided = ({ confidence }: Edge) => (confidence ?? 1) < 0.5;

export function nodeWords({ kind, service, metrics, status, id }: Node, label?: Label): string {
  if (label === "flow") return words.map.nodeOfFlow(plain(service.name || id), words.map.kinds[kind] ?? kind, number(metrics.requestCount), number(metrics.errorCount), latency(metrics.avgLatency));
  return words.map.node(plain(service.name || id), words.map.kinds[kind] ?? kind, number(metrics.rate), percent(metrics.errorRate), latency(metrics.p95Latency), words.map.statuses[status]);
}

export function edgeWords(edge: Edge, name: ReturnType<typeof namer>, label?: Label): string {
  if (label === "flow") return words.map.edgeOfFlow(name(edge.from), name(edge.to), number(edge.callCount), number(edge.errorCount), latency(edge.avgLatency));
  return `${words.map.callOf(name(edge.from))} ${name(edge.to)}: ${callWords(edge)}`;
}

export const callWords = ({ rate, errorRate, p95Latency }: Edge) => words.map.call(number(rate), percent(errorRate), latency(p95Latency));

const ruler = typeof document === "undefined" ? null : document.createElement("canvas").getContext("2d");

/** Numbers change four times a second, names hardly ever; forgotten all at once. */
const known = new Map<string, string>();
const MOST_KNOWN = 5_000;

/** The text, or as much of it as fits the width: the middle is what names can spare. */
export function fitted(text: string, width: number, font = "600 13px"): string {
  if (ruler === null) return text;
  const key = `${font} ${width} ${text}`;
  const found = known.get(key) ?? cut(ruler, text, width, font);
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(key, found);
  return found;
}

function cut(ruler: CanvasRenderingContext2D, text: string, width: number, font: string): string {
  ruler.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  let shown = text;
  for (let kept = text.length - 1; kept > 2 && ruler.measureText(shown).width > width; kept -= 1) {
    const tail = Math.floor(kept * 0.4);
    shown = `${text.slice(0, kept - tail)}…${text.slice(text.length - tail)}`;
  }
  return shown;
}
