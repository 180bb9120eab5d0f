// New nodes join a map without moving any other.

import { between, finished, layOut } from "./layOut";
import type { Chain } from "./order";
import { routes } from "./routes";
import { DUMMY_HEIGHT, GAP_Y, MARGIN, NODE_HEIGHT, columnX, mean, type LaidEdge, type LaidNode, type Layout, type Place } from "./shapes";

/** A map that more than doubles was only beginning: it is laid out anew. */
export function extend(before: Layout, nodes: LaidNode[], edges: LaidEdge[]): Layout {
  const added = nodes.filter(({ id }) => !before.places.has(id));
  if (added.length > before.places.size) return layOut(nodes, edges);
  const places = new Map(nodes.flatMap(({ id }) => {
    const place = before.places.get(id);
    return place === undefined ? [] : [[id, place] as const];
  }));
  const straight = between(nodes, edges);
  for (const node of nearestFirst(added, straight, places)) places.set(node.id, join(node, straight, places));
  const fresh = straight.filter(({ key }) => !before.routes.has(key)).map((edge) => chainBetween(edge, places));
  const heights = passing(fresh, places);
  const y = (id: string) => heights.get(id) ?? places.get(id)?.y ?? 0;
  const kept = [...before.routes].filter(([key]) => edges.some((edge) => edge.key === key));
  return finished(places, new Map([...kept, ...routes(fresh, places, y)]), edges);
}

/** Those with a placed neighbour come first, so that the others find one. */
function nearestFirst(added: LaidNode[], edges: LaidEdge[], places: ReadonlyMap<string, Place>): LaidNode[] {
  const found: LaidNode[] = [];
  const known = new Set(places.keys());
  let left = [...added].sort((a, b) => (a.id < b.id ? -1 : 1));
  while (left.length > 0) {
    const touching = left.filter(({ id }) => edges.some(({ from, to }) => (from === id && known.has(to)) || (to === id && known.has(from))));
    const next = touching.length > 0 ? touching : left;
    for (const node of next) known.add(node.id);
    found.push(...next);
    left = left.filter((node) => !next.includes(node));
  }
  return found;
}

function join({ id, isClient }: LaidNode, edges: LaidEdge[], places: ReadonlyMap<string, Place>): Place {
  const near = (ids: string[]) => ids.flatMap((other) => places.get(other) ?? []);
  const callers = near(edges.filter(({ to }) => to === id).map(({ from }) => from));
  const callees = near(edges.filter(({ from }) => from === id).map(({ to }) => to));
  const layer = isClient ? 0 : callers.length > 0 ? Math.max(...callers.map((each) => each.layer)) + 1
    : Math.max(0, Math.min(1, ...callees.map((each) => each.layer)) - 1);
  const around = [...callers, ...callees];
  const wish = around.length > 0 ? mean(around.map((each) => each.y)) : MARGIN + NODE_HEIGHT / 2;
  const taken = [...places.values()].filter((each) => each.layer === layer).map((each) => each.y);
  return { layer, x: columnX(layer), y: free(wish, taken, NODE_HEIGHT + GAP_Y) };
}

/** The height nearest to the wish that keeps its distance from all that is taken. */
export function free(wish: number, taken: number[], distance: number): number {
  const lowest = MARGIN + NODE_HEIGHT / 2;
  const suits = (y: number) => y >= lowest && taken.every((other) => Math.abs(other - y) >= distance);
  const choice = [Math.max(lowest, wish), ...taken.flatMap((y) => [y - distance, y + distance])].filter(suits);
  choice.sort((a, b) => Math.abs(a - wish) - Math.abs(b - wish));
  return Math.round(choice[0] ?? Math.max(lowest, ...taken) + distance);
}

function chainBetween(edge: LaidEdge, places: ReadonlyMap<string, Place>): Chain {
  const layer = (id: string) => places.get(id)?.layer ?? 0;
  const turned = layer(edge.from) > layer(edge.to);
  const [from, to] = turned ? [edge.to, edge.from] : [edge.from, edge.to];
  const dummies = Array.from({ length: Math.max(0, layer(to) - layer(from) - 1) }, (_, index) => `${edge.key}#${layer(from) + 1 + index}`);
  return { key: edge.key, from, to, turned, stops: [from, ...dummies, to] };
}

/** Where new edges pass through columns: between the nodes that stand there. */
function passing(chains: Chain[], places: ReadonlyMap<string, Place>): Map<string, number> {
  const heights = new Map<string, number>();
  for (const { from, to, stops } of chains) {
    const [a, b] = [places.get(from), places.get(to)];
    if (a === undefined || b === undefined) continue;
    stops.slice(1, -1).forEach((id, index) => {
      const layer = a.layer + 1 + index;
      const wish = a.y + ((b.y - a.y) * (index + 1)) / (b.layer - a.layer);
      const taken = [...places.values()].filter((each) => each.layer === layer).map((each) => each.y);
      heights.set(id, free(wish, taken, (NODE_HEIGHT + DUMMY_HEIGHT) / 2 + 6));
    });
  }
  return heights;
}
