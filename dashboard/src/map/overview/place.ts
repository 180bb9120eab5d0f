// Places for thousands of nodes: columns by layer, in each the services of a namespace together. Linear but for a sort, and
// what stands stays.

import { between } from "../layout/layOut";
import { mean, type LaidEdge, type LaidNode, type Place } from "../layout/shapes";

export const WIDTH = 116;
export const HEIGHT = 17;
const [GAP_X, GAP_Y, GAP_LAYER, MARGIN] = [14, 7, 150, 24];
/** How many nodes stand below each other before a layer goes on beside them: about as wide as a screen when all is seen. */
const tallestOf = (count: number) => Math.min(70, Math.max(12, Math.round(Math.sqrt(count * 3))));
const SWEEPS = 4;

export interface BigNode extends LaidNode {
  /** What it stands together with. */
  group: string;
}

export interface BigLayout {
  places: Map<string, Place>;
  width: number;
  height: number;
}

export const NO_PLACES: BigLayout = { places: new Map(), width: 0, height: 0 };

export function place(nodes: BigNode[], edges: LaidEdge[]): BigLayout {
  if (nodes.length === 0) return NO_PLACES;
  const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const columns = ordered(sorted, distances(sorted, between(sorted, edges)), edges);
  const most = tallestOf(sorted.length);
  const tallest = Math.min(most, Math.max(...columns.map(({ length }) => length)));
  const places = new Map<string, Place>();
  let x = MARGIN;
  columns.forEach((column, layer) => {
    const beside = Math.max(1, Math.ceil(column.length / most));
    const rows = Math.ceil(column.length / beside);
    const top = MARGIN + ((tallest - rows) * (HEIGHT + GAP_Y)) / 2;
    column.forEach(({ id }, index) => places.set(id, { layer, x: x + Math.floor(index / rows) * (WIDTH + GAP_X), y: top + (index % rows) * (HEIGHT + GAP_Y) + HEIGHT / 2 }));
    x += beside * (WIDTH + GAP_X) - GAP_X + GAP_LAYER;
  });
  return sized(places);
}

/** Calls from whoever begins flows: few columns, however long the longest chain of calls. */
function distances(nodes: BigNode[], edges: LaidEdge[]): Map<string, number> {
  const out = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  const called = new Set(edges.map(({ to }) => to));
  for (const { from, to } of edges) out.get(from)?.push(to);
  const found = new Map<string, number>();
  const clients = nodes.filter(({ isClient }) => isClient);
  const begins = clients.length > 0 ? clients : nodes.filter(({ id }) => !called.has(id));
  const walk = (from: string[]) => {
    let front = from.filter((id) => !found.has(id));
    for (let distance = 0; front.length > 0; distance += 1) {
      for (const id of front) found.set(id, distance);
      front = [...new Set(front.flatMap((id) => out.get(id) ?? []))].filter((id) => !found.has(id));
    }
  };
  walk(begins.map(({ id }) => id));
  // What no client leads to: first those whom nobody calls, then what is left in circles.
  walk(nodes.filter(({ id }) => !called.has(id)).map(({ id }) => id));
  for (const { id } of nodes) walk([id]);
  return found;
}

/** New nodes stand below all others of their layer. */
export function extended(before: BigLayout, nodes: BigNode[], edges: LaidEdge[]): BigLayout {
  const added = nodes.filter(({ id }) => !before.places.has(id));
  if (added.length > before.places.size / 2) return place(nodes, edges);
  const places = new Map(before.places);
  for (const { id } of added) {
    const caller = edges.find(({ to }) => to === id)?.from;
    const layer = (places.get(caller ?? "")?.layer ?? -1) + 1;
    const column = [...places.values()].filter((each) => each.layer === layer);
    const right = column.length === 0 ? Math.max(...[...places.values()].map((each) => each.x)) + WIDTH + GAP_LAYER : Math.min(...column.map((each) => each.x));
    const lowest = Math.max(MARGIN, ...column.filter((each) => each.x === right).map((each) => each.y + HEIGHT / 2 + GAP_Y));
    places.set(id, { layer, x: right, y: lowest + HEIGHT / 2 });
  }
  return sized(places);
}

function sized(places: Map<string, Place>): BigLayout {
  let [width, height] = [0, 0];
  for (const { x, y } of places.values()) {
    width = Math.max(width, x + WIDTH + MARGIN);
    height = Math.max(height, y + HEIGHT / 2 + MARGIN);
  }
  return { places, width, height };
}

/** Each layer by groups; the groups, and the nodes in them, by the mean place of their neighbours. */
function ordered(nodes: BigNode[], layers: ReadonlyMap<string, number>, edges: LaidEdge[]): BigNode[][] {
  const columns: BigNode[][] = Array.from({ length: Math.max(...layers.values()) + 1 }, () => []);
  for (const node of nodes) columns[layers.get(node.id) ?? 0]?.push(node);
  const near = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  for (const { from, to } of edges) {
    near.get(from)?.push(to);
    near.get(to)?.push(from);
  }
  const at = new Map<string, number>();
  const number = (column: BigNode[]) => column.forEach(({ id }, index) => at.set(id, index / column.length));
  columns.forEach(number);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const column of columns) {
      const wish = new Map(column.map(({ id }) => [id, mean([at.get(id) ?? 0, ...(near.get(id) ?? []).map((other) => at.get(other) ?? 0)])]));
      const groups = new Map<string, number[]>();
      for (const { id, group } of column) groups.set(group, [...(groups.get(group) ?? []), wish.get(id) ?? 0]);
      const order = new Map([...groups].map(([group, wishes]) => [group, mean(wishes)]));
      column.sort((a, b) => (order.get(a.group) ?? 0) - (order.get(b.group) ?? 0) || (a.group < b.group ? -1 : a.group > b.group ? 1 : (wish.get(a.id) ?? 0) - (wish.get(b.id) ?? 0)));
      number(column);
    }
  }
  return columns;
}
