// Which column each node stands in: the longest path from whoever calls without being called.

import type { LaidEdge, LaidNode } from "./shapes";

export interface Forward extends LaidEdge {
  turned: boolean;
}

/** Turns round the edges that close a cycle, found depth first from the clients. */
export function withoutCycles(nodes: LaidNode[], edges: LaidEdge[]): Forward[] {
  const out = outgoing(nodes, edges);
  const called = new Set(edges.map((edge) => edge.to));
  const first = ({ id, isClient }: LaidNode) => (isClient ? 0 : called.has(id) ? 2 : 1);
  const state = new Map<string, "open" | "done">();
  const turned = new Set<LaidEdge>();
  const visit = (start: string) => {
    // A stack of its own: chains of calls may be longer than the engine's.
    const stack = [{ id: start, next: 0 }];
    state.set(start, "open");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const edge = out.get(top.id)?.[top.next++];
      if (edge === undefined) {
        state.set(top.id, "done");
        stack.pop();
      } else if (state.get(edge.to) === "open") {
        turned.add(edge);
      } else if (!state.has(edge.to)) {
        state.set(edge.to, "open");
        stack.push({ id: edge.to, next: 0 });
      }
    }
  };
  const order = [...nodes].sort((a, b) => first(a) - first(b) || (a.id < b.id ? -1 : 1));
  for (const { id } of order) if (!state.has(id)) visit(id);
  return edges.map((edge) => (turned.has(edge) ? { key: edge.key, from: edge.to, to: edge.from, turned: true } : { ...edge, turned: false }));
}

export function longestPaths(nodes: LaidNode[], edges: LaidEdge[]): Map<string, number> {
  const out = outgoing(nodes, edges);
  const incoming = new Map(nodes.map(({ id }) => [id, 0]));
  for (const edge of edges) incoming.set(edge.to, (incoming.get(edge.to) ?? 0) + 1);
  const layers = new Map(nodes.map(({ id }) => [id, 0]));
  const sources = nodes.filter(({ id }) => incoming.get(id) === 0);
  const ready = sources.map(({ id }) => id);
  for (let id = ready.pop(); id !== undefined; id = ready.pop()) {
    for (const { to } of out.get(id) ?? []) {
      layers.set(to, Math.max(layers.get(to) ?? 0, (layers.get(id) ?? 0) + 1));
      const left = (incoming.get(to) ?? 0) - 1;
      incoming.set(to, left);
      if (left === 0) ready.push(to);
    }
  }
  pullSources(sources, out, layers);
  return layers;
}

/** Who calls without being called, and is no client, stands next to what it calls. */
function pullSources(sources: LaidNode[], out: Map<string, LaidEdge[]>, layers: Map<string, number>) {
  for (const { id, isClient } of sources) {
    const called = (out.get(id) ?? []).map((edge) => layers.get(edge.to) ?? 0);
    if (!isClient && called.length > 0) layers.set(id, Math.max(0, Math.min(...called) - 1));
  }
}

function outgoing(nodes: LaidNode[], edges: LaidEdge[]): Map<string, LaidEdge[]> {
  const out = new Map<string, LaidEdge[]>(nodes.map(({ id }) => [id, []]));
  for (const edge of edges) out.get(edge.from)?.push(edge);
  return out;
}
