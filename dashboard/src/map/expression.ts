// What is sought or hidden on the map, in a language of one line: `errors > 1% and not kind = database`. Knows no map and no
// address; what can't be read is said in words.

import type { Edge, Node } from "../api/client";
import { words } from "../words";

/** undefined: the question doesn't apply, as that for the kind of a call, or for a latency that was not measured. */
export type Verdict = boolean | undefined;

export interface Expression {
  node: (of: Node) => Verdict;
  edge: (of: Edge) => Verdict;
}

export interface Read {
  /** null: nothing is asked, or it can't be read. */
  expression: Expression | null;
  problem: string;
}

const { expression: say } = words;

/** A number, written in the unit of its column in the table: shares in percent, latencies in ms. */
interface Measure {
  node: (of: Node["metrics"]) => number | null | undefined;
  edge: (of: Edge) => number | null | undefined;
  /** How many of a unit make one as the API has it; "" is what none means. */
  units: Record<string, number>;
}

const latency = (of: "avgLatency" | "p50Latency" | "p95Latency" | "p99Latency"): Measure =>
  ({ node: (metrics) => metrics[of], edge: (edge) => edge[of], units: { "": 1, us: 1000, µs: 1000, ms: 1, s: 1 / 1000, min: 1 / 60_000 } });
const ofCalls = (of: "retryCount" | "rejected" | "timeouts"): Measure => ({ node: () => undefined, edge: (edge) => edge[of], units: { "": 1 } });

const MEASURES: Record<string, Measure> = {
  errors: { node: ({ errorRate }) => errorRate, edge: ({ errorRate }) => errorRate, units: { "": 100, "%": 100 } },
  rate: { node: ({ rate }) => rate, edge: ({ rate }) => rate, units: { "": 1, "/s": 1 } },
  avg: latency("avgLatency"), p50: latency("p50Latency"), p95: latency("p95Latency"), p99: latency("p99Latency"),
  retries: ofCalls("retryCount"), rejected: ofCalls("rejected"), timeouts: ofCalls("timeouts"),
};

const NAMES: Record<string, (of: Node) => string[]> = {
  name: ({ service, id }) => [service.name || id], namespace: ({ service }) => [service.namespace], cluster: ({ service }) => [service.cluster],
  version: ({ service }) => service.versions, kind: ({ kind }) => [kind], status: ({ status }) => [status],
};
/** What nothing else can be. */
const KNOWN: Record<string, string[]> = { kind: Object.keys(words.map.kinds), status: Object.keys(words.map.statuses) };

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  ">": (a, b) => a > b, ">=": (a, b) => a >= b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b,
};
const AGREE: Record<string, (a: string[], b: string) => boolean> = {
  "=": (a, b) => a.includes(b), "!=": (a, b) => !a.includes(b), "~": (a, b) => mention(a, b), "!~": (a, b) => !mention(a, b),
};
const mention = (names: string[], text: string) => names.some((name) => name.includes(text));

class Unreadable extends Error {}

export function read(written: string): Read {
  const parts = [...written.matchAll(PARTS)].map(part);
  if (parts.length === 0) return { expression: null, problem: "" };
  try {
    return { expression: split(parts, "or").map((each) => split(each, "and").map(clause).reduce(and)).reduce(or), problem: "" };
  } catch (error) {
    if (error instanceof Unreadable) return { expression: null, problem: error.message };
    throw error;
  }
}

interface Part {
  text: string;
  kind: "quoted" | "mark" | "word";
}

/** What stands in quotes, marks of comparison, and words, which end where a comparison begins. */
const PARTS = /"([^"]*)"?|([<>!]=|!~|[<>=~])|((?:[^\s"<>=~!]|!(?![=~]))+)/g;

function part([, quoted, mark, word = ""]: RegExpMatchArray): Part {
  if (quoted !== undefined) return { text: quoted, kind: "quoted" };
  return mark === undefined ? { text: word, kind: "word" } : { text: mark, kind: "mark" };
}

const is = (part: Part, word: string) => part.kind === "word" && part.text.toLowerCase() === word;
const together = (parts: Part[]) => parts.map(({ text }) => text).join(" ");

function split(parts: Part[], word: string): Part[][] {
  const at = parts.findIndex((each) => is(each, word));
  return at < 0 ? [parts] : [parts.slice(0, at), ...split(parts.slice(at + 1), word)];
}

function clause(parts: Part[]): Expression {
  const [first, mark] = parts;
  if (first === undefined) throw new Unreadable(say.goesOn);
  if (is(first, "not")) return not(clause(parts.slice(1)));
  if (first.kind === "mark") throw new Unreadable(say.noField(first.text));
  const isComparison = mark?.kind === "mark";
  const stray = parts.findIndex(({ kind }, index) => kind === "mark" && index !== 1);
  if (stray > 0) throw new Unreadable(say.noAnd(parts[stray - 1]?.text ?? ""));
  if (isComparison) return comparison(first.text.toLowerCase(), mark.text, parts.slice(2));
  // What isn't compared is looked for in names.
  const text = together(parts).toLowerCase();
  return ofNodes(({ id, service }) => mention([id, service.name, service.namespace].map(lower), text));
}

function comparison(field: string, mark: string, value: Part[]): Expression {
  const [measure, names] = [own(MEASURES, field), own(NAMES, field)];
  const marks: Record<string, unknown> = measure ? COMPARE : AGREE;
  if (!measure && !names) throw new Unreadable(say.unknown(field, Object.keys({ ...MEASURES, ...NAMES }).join(", ")));
  if (!own(marks, mark)) throw new Unreadable(say.marks(field, Object.keys(marks).join("  ")));
  if (value.length === 0) throw new Unreadable(say.noValue(`${field} ${mark}`));
  if (measure) {
    const [holds, bound] = [COMPARE[mark], amount(field, together(value), measure.units)];
    const verdict = (of: number | null | undefined) => (of == null ? undefined : holds?.(of, bound));
    return { node: ({ metrics }) => verdict(measure.node(metrics)), edge: (edge) => verdict(measure.edge(edge)) };
  }
  const wanted = together(value).toLowerCase();
  const known = KNOWN[field];
  if (mark.endsWith("=") && known && !known.includes(wanted)) throw new Unreadable(say.known(field, known.join(", ")));
  return ofNodes((node) => AGREE[mark]?.(names?.(node).map(lower) ?? [], wanted));
}

function amount(field: string, text: string, units: Record<string, number>): number {
  const [, digits, unit = ""] = /^(\d+\.?\d*|\.\d+)\s*(\S*)$/.exec(text) ?? [];
  const many = own(units, unit);
  if (digits === undefined || many === undefined) throw new Unreadable(say.number(field, text, Object.keys(units).filter((each) => each !== "").join(", ")));
  return Number(digits) / many;
}

const lower = (text: string) => text.toLowerCase();
/** What somebody writes may be the name of something that every object has. */
const own = <T>(of: Record<string, T>, name: string): T | undefined => (Object.hasOwn(of, name) ? of[name] : undefined);

const ofNodes = (node: Expression["node"]): Expression => ({ node, edge: () => undefined });
const not = ({ node, edge }: Expression): Expression => ({ node: (of) => opposite(node(of)), edge: (of) => opposite(edge(of)) });
const opposite = (verdict: Verdict) => (verdict === undefined ? undefined : !verdict);
const either = (verdicts: Verdict[], decisive: boolean): Verdict => (verdicts.includes(decisive) ? decisive : verdicts.includes(undefined) ? undefined : !decisive);
const joined = (decisive: boolean) => (a: Expression, b: Expression): Expression =>
  ({ node: (of) => either([a.node(of), b.node(of)], decisive), edge: (of) => either([a.edge(of), b.edge(of)], decisive) });
const [and, or] = [joined(false), joined(true)];
