// How edges run between the nodes, and where their labels find room.

import type { Chain } from "./order";
import { NODE_HEIGHT, NODE_WIDTH, columnX, type Place, type Point, type Route } from "./shapes";

type Height = (id: string) => number;

/** Routes of edges through their columns; `y` knows nodes and dummies. */
export function routes(chains: Chain[], places: ReadonlyMap<string, Place>, y: Height): Map<string, Route> {
  const ports = spread(chains, y);
  const found = new Map<string, Route>();
  for (const each of chains) {
    const [from, to] = [places.get(each.from), places.get(each.to)];
    if (from === undefined || to === undefined) continue;
    const points: Point[] = [{ x: from.x + NODE_WIDTH, y: from.y + (ports.get(`${each.key}>`) ?? 0) }];
    each.stops.slice(1, -1).forEach((id, index) => {
      const left = columnX(from.layer + 1 + index);
      points.push({ x: left, y: y(id) }, { x: left + NODE_WIDTH, y: y(id) });
    });
    points.push({ x: to.x, y: to.y + (ports.get(`${each.key}<`) ?? 0) });
    found.set(each.key, { points, turned: each.turned, self: false });
  }
  return found;
}

/** Edges leave and enter a node at different heights, in the order of where they come from or go to. */
function spread(chains: Chain[], y: Height): Map<string, number> {
  const sides = new Map<string, { port: string; y: number }[]>();
  const add = (side: string, port: string, next: string | undefined) => {
    const ends = sides.get(side) ?? [];
    ends.push({ port, y: next === undefined ? 0 : y(next) });
    sides.set(side, ends);
  };
  for (const { key, from, to, stops } of chains) {
    add(`>${from}`, `${key}>`, stops[1]);
    add(`<${to}`, `${key}<`, stops.at(-2));
  }
  const ports = new Map<string, number>();
  for (const ends of sides.values()) {
    ends.sort((a, b) => a.y - b.y || (a.port < b.port ? -1 : 1));
    const step = Math.min(9, (NODE_HEIGHT - 14) / Math.max(1, ends.length - 1));
    ends.forEach(({ port }, index) => ports.set(port, (index - (ends.length - 1) / 2) * step));
  }
  return ports;
}

export function loop({ x, y }: Point): Route {
  const [right, top] = [x + NODE_WIDTH, y - NODE_HEIGHT / 2];
  return { points: [{ x: right - 34, y: top }, { x: right - 12, y: top }], turned: false, self: true };
}

/** One free place for each label, on its edge. Edges with little choice choose first. */
export function labels(all: ReadonlyMap<string, Route>): Map<string, Point> {
  const taken: Point[] = [];
  const found = new Map<string, Point>();
  for (const [key, route] of [...all].sort(([, a], [, b]) => a.points.length - b.points.length)) {
    const spot = route.self ? aboveLoop(route) : best(spots(route), taken);
    taken.push(spot);
    found.set(key, spot);
  }
  return found;
}

const aboveLoop = ({ points: [a, b] }: Route): Point => ({ x: ((a?.x ?? 0) + (b?.x ?? 0)) / 2, y: (a?.y ?? 0) - 22 });

/** Not so near to a box that the label would cover it. */
const ALONG = [0.5, 0.46, 0.54, 0.42, 0.58, 0.38, 0.62];
/** On the line, or where that is taken, so near that the label still touches it. */
const BESIDE = [0, 11, -11];

function spots({ points }: Route): Point[] {
  const found: Point[] = [];
  // Where it passes a column of boxes nothing else does.
  for (let index = 1; index + 1 < points.length; index += 2) {
    const [a, b] = [points[index], points[index + 1]];
    if (a !== undefined && b !== undefined) found.push({ x: (a.x + b.x) / 2, y: a.y });
  }
  for (const beside of BESIDE) {
    for (let index = points.length - 2; index >= 0; index -= 2) {
      const [a, b] = [points[index], points[index + 1]];
      if (a === undefined || b === undefined) continue;
      for (const t of ALONG) {
        const { x, y } = onCurve(a, b, t);
        found.push({ x, y: y + beside });
      }
    }
  }
  return found;
}

function best(choice: Point[], taken: Point[]): Point {
  let [found, least] = [choice[0] ?? { x: 0, y: 0 }, Infinity];
  choice.forEach((spot, rank) => {
    const cost = overlap(spot, taken) + rank;
    if (cost < least) [found, least] = [spot, cost];
  });
  return found;
}

function overlap(spot: Point, taken: Point[]): number {
  let sum = 0;
  for (const other of taken) {
    const [dx, dy] = [92 - Math.abs(spot.x - other.x), 26 - Math.abs(spot.y - other.y)];
    if (dx > 0 && dy > 0) sum += dx * dy;
  }
  return sum;
}

/** A point of the cubic curve that leaves and arrives level. */
function onCurve(a: Point, b: Point, t: number): Point {
  const bend = (b.x - a.x) * 0.45;
  const at = (p0: number, p1: number, p2: number, p3: number) =>
    (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t * t * p2 + t ** 3 * p3;
  return { x: at(a.x, a.x + bend, b.x - bend, b.x), y: at(a.y, a.y, b.y, b.y) };
}

/** The route as a path of SVG, always from the caller to the callee. */
export function path({ points, self, turned }: Route): string {
  const [a, b] = points;
  if (a === undefined || b === undefined) return "";
  if (self) return `M${a.x} ${a.y}C${a.x} ${a.y - 20} ${b.x} ${b.y - 20} ${b.x} ${b.y}`;
  const way = turned ? [...points].reverse() : points;
  return way.map((point, index) => segment(way[index - 1], point, index)).join("");
}

function segment(before: Point | undefined, { x, y }: Point, index: number): string {
  if (before === undefined) return `M${x} ${y}`;
  const bend = (x - before.x) * 0.45;
  return index % 2 === 1 ? `C${before.x + bend} ${before.y} ${x - bend} ${y} ${x} ${y}` : `L${x} ${y}`;
}

export function arrow({ points, turned, self }: Route): string {
  const tip = (turned ? points[0] : points.at(-1)) ?? { x: 0, y: 0 };
  if (self) return `M${tip.x} ${tip.y}l-4 -8h8z`;
  return turned ? `M${tip.x} ${tip.y}l9 -4.5v9z` : `M${tip.x} ${tip.y}l-9 -4.5v9z`;
}
