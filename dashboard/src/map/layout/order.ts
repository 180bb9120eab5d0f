// In which order nodes of one column stand, so that few edges cross, and how high.

import { DUMMY_HEIGHT, GAP_Y, NODE_HEIGHT, mean } from "./shapes";
import type { Forward } from "./layers";

/** A node, or the place where an edge passes through a column that it has no node in. */
export interface Item {
  id: string;
  height: number;
  above: Item[];
  below: Item[];
  at: number;
  y: number;
}

export interface Chain extends Forward {
  stops: string[];
}

const SWEEPS = 24;

/** An edge over several columns runs through a dummy in each one between. */
export function chain(edge: Forward, layers: ReadonlyMap<string, number>): Chain {
  const [from, to] = [layers.get(edge.from) ?? 0, layers.get(edge.to) ?? 0];
  const dummies = Array.from({ length: Math.max(0, to - from - 1) }, (_, index) => `${edge.key}#${from + 1 + index}`);
  return { ...edge, stops: [edge.from, ...dummies, edge.to] };
}

export function fill(layers: ReadonlyMap<string, number>, chains: Chain[]): Item[][] {
  const columns: Item[][] = Array.from({ length: Math.max(0, ...layers.values()) + 1 }, () => []);
  const items = new Map<string, Item>();
  const add = (layer: number, id: string, height: number) => {
    const item: Item = { id, height, above: [], below: [], at: 0, y: 0 };
    items.set(id, item);
    columns[layer]?.push(item);
  };
  for (const [id, layer] of layers) add(layer, id, NODE_HEIGHT);
  for (const { from, stops } of chains) stops.slice(1, -1).forEach((id, index) => add((layers.get(from) ?? 0) + 1 + index, id, DUMMY_HEIGHT));
  for (const { stops } of chains) stops.forEach((id, index) => link(items.get(stops[index - 1] ?? ""), items.get(id)));
  return columns;
}

function link(before: Item | undefined, item: Item | undefined) {
  if (before === undefined || item === undefined) return;
  before.below.push(item);
  item.above.push(before);
}

/** Sweeps over the columns, each time by the mean place of the neighbours; the order with the fewest crossings stays. */
export function order(columns: Item[][]) {
  for (const column of columns) number(column);
  let best = { crossings: crossings(columns), orders: columns.map((column) => [...column]) };
  for (let sweep = 0; sweep < SWEEPS && best.crossings > 0; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const column of down ? columns : [...columns].reverse()) sortByNeighbours(column, down ? "above" : "below");
    const now = crossings(columns);
    if (now < best.crossings) best = { crossings: now, orders: columns.map((column) => [...column]) };
  }
  best.orders.forEach((items, index) => {
    columns[index]?.splice(0, Infinity, ...items);
    number(items);
  });
}

const number = (column: Item[]) => column.forEach((item, index) => (item.at = index));

function sortByNeighbours(column: Item[], side: "above" | "below") {
  const wish = new Map(column.map((item) => [item, item[side].length > 0 ? mean(item[side].map((other) => other.at)) : item.at]));
  column.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || a.at - b.at);
  number(column);
}

function crossings(columns: Item[][]): number {
  let count = 0;
  for (const column of columns) {
    const ends = column.flatMap((item) => item.below.map((other) => other.at).sort((a, b) => a - b));
    for (let i = 0; i < ends.length; i += 1) for (let j = i + 1; j < ends.length; j += 1) if ((ends[i] ?? 0) > (ends[j] ?? 0)) count += 1;
  }
  return count;
}

/** Every item as near to the mean of its neighbours as the order allows. */
export function raise(columns: Item[][]) {
  for (const column of columns) stackUp(column);
  for (let round = 0; round < 40; round += 1) {
    const sides: ("above" | "below")[] = round < 30 ? [round % 2 === 0 ? "above" : "below"] : ["above", "below"];
    for (const column of round % 2 === 0 ? columns : [...columns].reverse()) settle(column, sides);
  }
}

function stackUp(column: Item[]) {
  let y = 0;
  for (const item of column) {
    item.y = y + item.height / 2;
    y += item.height + GAP_Y;
  }
  for (const item of column) item.y -= y / 2;
}

interface Pool {
  sum: number;
  weight: number;
  items: { item: Item; offset: number }[];
}

/** Least squares under "stay below the one before": neighbours that would overlap are pooled. */
function settle(column: Item[], sides: ("above" | "below")[]) {
  const pools: Pool[] = [];
  let offset = 0;
  column.forEach((item, index) => {
    const before = column[index - 1];
    if (before !== undefined) offset += (before.height + item.height) / 2 + GAP_Y;
    let pool = alone(item, offset, sides);
    for (let last = pools.at(-1); last !== undefined && last.sum / last.weight > pool.sum / pool.weight; last = pools.at(-1)) {
      pools.pop();
      pool = { sum: last.sum + pool.sum, weight: last.weight + pool.weight, items: [...last.items, ...pool.items] };
    }
    pools.push(pool);
  });
  for (const pool of pools) for (const { item, offset: down } of pool.items) item.y = pool.sum / pool.weight + down;
}

function alone(item: Item, offset: number, sides: ("above" | "below")[]): Pool {
  const neighbours = sides.flatMap((side) => item[side]);
  const wish = neighbours.length > 0 ? mean(neighbours.map((other) => other.y)) : item.y;
  // Dummies pull harder, which keeps long edges straight.
  const weight = item.height === DUMMY_HEIGHT ? 2 : 1;
  return { sum: (wish - offset) * weight, weight, items: [{ item, offset }] };
}
