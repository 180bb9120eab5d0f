// The last minutes once more, ten seconds at a time: how long a step is, where it begins, and who was quiet in it.

import type { Edge, Node } from "../api/client";
import type { Time } from "../url/filters";

/** µs since the epoch, at whole steps. */
export interface Replay {
  from: number;
  to: number;
}

/** Percentiles are kept by ten seconds. */
const STEP = 10e6;
export const REPLAYS = ["5m", "15m"] as const;
const MINUTES = { "5m": 5, "15m": 15 };
/** More steps than this are no last minutes. */
const MOST_STEPS = 360;

export const stepsOf = ({ from, to }: Replay) => Math.round((to - from) / STEP);

/** Up to the last step that has ended. */
export function lastMinutes(length: (typeof REPLAYS)[number], now: number): Replay {
  const to = Math.floor(now / STEP) * STEP;
  return { from: to - MINUTES[length] * 60e6, to };
}

export const timeOf = ({ from }: Replay, step: number) => ({ kind: "between" as const, from: from + step * STEP, to: from + (step + 1) * STEP });

/** The step that a time is in; the nearest one where it is in none. */
export function stepOf(replay: Replay, time: Time): number {
  const from = time.kind === "between" ? time.from : replay.from;
  return Math.min(stepsOf(replay) - 1, Math.max(0, Math.floor((from - replay.from) / STEP)));
}

/** A step is a time like any other, so that all figures are of it. The time that was looked at before stays below it. */
export function inAddress(replay: Replay, step: number): Record<string, string> {
  const { from, to } = timeOf(replay, step);
  return { startTime: String(from), endTime: String(to), replay: `${replay.from}-${replay.to}` };
}

export const ENDED = { startTime: null, endTime: null, replay: null };

export function read(text: string | null): Replay | null {
  const [, from = 0, to = 0] = (/^(\d+)-(\d+)$/.exec(text ?? "") ?? []).map(Number);
  const steps = (to - from) / STEP;
  return Number.isInteger(steps) && steps > 0 && steps <= MOST_STEPS ? { from, to } : null;
}

interface Graph {
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
}

/** What the step has, and as quiet what only the rest of the replay has: all keeps its place. */
export function amid(whole: Graph, step: Graph): Graph {
  return {
    nodes: new Map([...[...whole.nodes].map(([id, node]) => [id, quietNode(node)] as const), ...step.nodes]),
    edges: new Map([...[...whole.edges].map(([key, edge]) => [key, quietEdge(edge)] as const), ...step.edges]),
  };
}

const NOT_MEASURED = { avgLatency: null, p50Latency: null, p95Latency: null, p99Latency: null };

const quietNode = (node: Node): Node => ({
  ...node, status: "healthy", metrics: { ...NOT_MEASURED, requestCount: 0, rawRequestCount: 0, errorCount: 0, errorRate: 0, rate: 0 },
});

const quietEdge = (edge: Edge): Edge => ({
  ...edge, ...NOT_MEASURED, callCount: 0, errorCount: 0, errorRate: 0, rate: 0, retryCount: 0, rejected: 0, timeouts: 0,
});
