// Layers from left to right. Written here because what matters most is what general engines don't promise: places that
// stay. See `extend`.

import { longestPaths, withoutCycles } from "./layers";
import { chain, fill, order, raise, type Chain } from "./order";
import { labels, loop, routes } from "./routes";
import { GAP_X, MARGIN, NODE_HEIGHT, NODE_WIDTH, columnX, type LaidEdge, type LaidNode, type Layout, type Place, type Route } from "./shapes";

export const NOWHERE: Layout = { places: new Map(), routes: new Map(), labels: new Map(), width: 0, height: 0 };

/** The same for the same graph, in whatever order it comes. */
export function layOut(nodes: LaidNode[], edges: LaidEdge[]): Layout {
  if (nodes.length === 0) return NOWHERE;
  const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const forward = withoutCycles(sorted, between(sorted, edges));
  const layers = longestPaths(sorted, forward);
  const chains = forward.map((edge) => chain(edge, layers));
  const columns = fill(layers, chains);
  order(columns);
  raise(columns);
  const items = new Map(columns.flat().map((item) => [item.id, item]));
  const top = Math.min(...[...items.values()].map((item) => item.y - item.height / 2));
  const y = (id: string) => Math.round((items.get(id)?.y ?? 0) - top + MARGIN);
  const places = new Map(sorted.map(({ id }) => [id, { x: columnX(layers.get(id) ?? 0), y: y(id), layer: layers.get(id) ?? 0 }]));
  return finished(places, routes(chains, places, y), edges);
}

/** Edges between two different nodes that are there. */
export function between(nodes: LaidNode[], edges: LaidEdge[]): LaidEdge[] {
  const known = new Set(nodes.map(({ id }) => id));
  return edges.filter(({ from, to }) => from !== to && known.has(from) && known.has(to)).sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function finished(places: Map<string, Place>, found: Map<string, Route>, edges: LaidEdge[]): Layout {
  for (const { key, from, to } of edges) {
    const place = places.get(from);
    if (from === to && place !== undefined) found.set(key, loop(place));
  }
  const right = Math.max(...[...places.values()].map(({ layer }) => columnX(layer + 1) - GAP_X));
  const low = Math.max(...[...places.values()].map(({ y }) => y + NODE_HEIGHT / 2), ...[...found.values()].flatMap(({ points }) => points.map(({ y }) => y)));
  return { places, routes: found, labels: labels(found), width: Math.max(right, NODE_WIDTH) + MARGIN, height: Math.round(low + MARGIN) };
}

export type { Chain };
