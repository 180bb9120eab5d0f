// The graph as the live protocol tells it. Frames hold new values, not differences: applying one twice does no harm.

import type { Edge, Node, Schemas, Staleness } from "../api/client";

export type Totals = Schemas["FlowTotals"];
export type Window = Schemas["WindowAnswer"];

export interface GraphState {
  /** Whether anything has been heard yet. */
  loaded: boolean;
  nodes: ReadonlyMap<string, Node>;
  edges: ReadonlyMap<string, Edge>;
  totals: Totals | null;
  window: Window | null;
  staleness: Staleness | null;
  sequences: Record<string, number>;
  /** Calls so young that the name of their operation may still arrive. */
  beingNamed: number;
  asOf: number;
}

export const EMPTY: GraphState = {
  loaded: false, nodes: new Map(), edges: new Map(), totals: null, window: null, staleness: null, sequences: {}, beingNamed: 0, asOf: 0,
};

export interface GraphFrame {
  asOf: number;
  window: Window;
  sequences: Record<string, number>;
  staleness: Staleness;
  totals: Totals;
  beingNamed: number;
  nodes: Node[];
  edges: Edge[];
  removedNodes?: string[];
  removedEdges?: { from: string; to: string }[];
}

/** Names may hold anything, so a key has to tell where one ends. */
export const edgeKey = ({ from, to }: { from: string; to: string }) => JSON.stringify([from, to]);

export function edgeOf(key: string): { from: string; to: string } {
  const [from, to] = JSON.parse(key) as [string, string];
  return { from, to };
}

export function applied(state: GraphState, frame: GraphFrame, isWhole: boolean): GraphState {
  const nodes = new Map(isWhole ? [] : state.nodes);
  const edges = new Map(isWhole ? [] : state.edges);
  for (const id of frame.removedNodes ?? []) nodes.delete(id);
  for (const edge of frame.removedEdges ?? []) edges.delete(edgeKey(edge));
  for (const node of frame.nodes) nodes.set(node.id, node);
  for (const edge of frame.edges) edges.set(edgeKey(edge), edge);
  const { asOf, window, sequences, staleness, totals, beingNamed } = frame;
  return { loaded: true, nodes, edges, asOf, window, sequences, staleness, totals, beingNamed };
}
