// Draws the overview on a canvas: lines first, in a few strokes for all of a kind, then boxes, then names where they can be read.

import type { Edge, Node } from "../../api/client";
import { trouble } from "../../format/numbers";
import type { Viewport } from "../useViewport";
import { HEIGHT, WIDTH, type BigLayout } from "./place";

export interface Scene {
  nodes: ReadonlyMap<string, Node>;
  layout: BigLayout;
  lines: Lines<Path2D>[];
}

/** Those of one colour and width. */
export interface Lines<P> {
  path: P;
  colour: string;
  alpha: number;
  width: number;
}

const LEVELS = { "": { colour: "--edge", alpha: 0.32 }, some: { colour: "--amber", alpha: 0.75 }, many: { colour: "--red", alpha: 0.75 } };
const WIDTHS = [0.7, 1.4, 2.6] as const;
/** Names smaller than this on the screen, px, are only dirt. */
const READABLE = 8;

export function scene(nodes: ReadonlyMap<string, Node>, edges: Edges, layout: BigLayout, steps: Steps): Scene {
  return { nodes, layout, lines: linesOf(edges, layout, steps, () => new Path2D()) };
}

export function linesOf<P extends Pen>(edges: Edges, layout: BigLayout, steps: Steps, fresh: () => P): Lines<P>[] {
  const lines = new Map<string, Lines<P>>();
  for (const edge of edges.values()) {
    const level = trouble(edge.errorRate, steps);
    const width = WIDTHS[edge.rate < 1 ? 0 : edge.rate < 20 ? 1 : 2];
    const kind = `${level} ${width}`;
    const line = lines.get(kind) ?? { path: fresh(), ...LEVELS[level], width };
    lines.set(kind, line);
    curve(line.path, edge, layout);
  }
  // Trouble lies on top.
  return [...lines.values()].sort((a, b) => a.alpha - b.alpha);
}

export function curve(path: Pen, { from, to }: Edge, { places }: BigLayout) {
  const [a, b] = [places.get(from), places.get(to)];
  if (a === undefined || b === undefined || from === to) return;
  const [ax, bx] = [a.x + WIDTH, b.x];
  const bend = Math.max(24, Math.abs(bx - ax) * 0.4);
  path.moveTo(ax, a.y);
  path.bezierCurveTo(ax + bend, a.y, bx - bend, b.y, bx, b.y);
}

type Edges = ReadonlyMap<string, Edge>;
type Steps = { some: number; many: number };
/** What draws a curve: on a canvas, or as the text of an SVG. */
export type Pen = Pick<Path2D, "moveTo" | "bezierCurveTo">;

export interface Paint {
  view: Viewport;
  room: { width: number; height: number };
  /** Ids that stand out; null: all are equal. */
  near: ReadonlySet<string> | null;
  /** Those that aren't quiet. */
  present: ReadonlyMap<string, unknown>;
  found: ReadonlySet<string> | undefined;
  nearLines: Path2D | null;
  picked: string;
}

/** The lines alone: thousands of curves, so only when the view has come to rest. */
export function paintLines(canvas: HTMLCanvasElement, { lines }: Scene, { view, room }: Pick<Paint, "view" | "room">) {
  const begun = begin(canvas, view, room);
  if (begun === null) return;
  const { pen, colour } = begun;
  for (const { path, colour: variable, alpha, width } of lines) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = colour(variable);
    // Never thinner than the screen can show.
    pen.lineWidth = Math.max(width, 0.6 / view.scale);
    pen.stroke(path);
  }
}

/** Some of the lines, for a moment. */
export function paintPulse(canvas: HTMLCanvasElement, edges: Edge[], layout: BigLayout, { view, room }: Pick<Paint, "view" | "room">) {
  const begun = begin(canvas, view, room);
  if (begun === null) return;
  const path = new Path2D();
  for (const edge of edges) curve(path, edge, layout);
  begun.pen.strokeStyle = begun.colour("--accent");
  begun.pen.lineWidth = Math.max(2, 1.4 / view.scale);
  begun.pen.stroke(path);
}

/** Boxes, names and the lines of what is pointed at: those in sight, each frame. */
export function paint(canvas: HTMLCanvasElement, { nodes, layout }: Scene, { view, room, near, present, found, nearLines, picked }: Paint) {
  const begun = begin(canvas, view, room);
  if (begun === null) return;
  const { pen, colour } = begun;
  if (nearLines !== null) {
    pen.strokeStyle = colour("--accent");
    pen.lineWidth = Math.max(1.6, 1.2 / view.scale);
    pen.stroke(nearLines);
  }
  const inSight = { left: -view.x / view.scale - WIDTH, right: (room.width - view.x) / view.scale, top: -view.y / view.scale - HEIGHT, bottom: (room.height - view.y) / view.scale + HEIGHT };
  const withNames = HEIGHT * view.scale >= READABLE;
  pen.font = `10px ${getComputedStyle(document.body).fontFamily}`;
  pen.textBaseline = "middle";
  for (const [id, { x, y }] of layout.places) {
    const node = nodes.get(id);
    if (node === undefined || x < inSight.left || x > inSight.right || y < inSight.top || y > inSight.bottom) continue;
    pen.globalAlpha = strength(id, near, present);
    box(pen, { x, y: y - HEIGHT / 2 }, colour, look(node, id === picked, found?.has(id) ?? false));
    if (!withNames) continue;
    pen.fillStyle = colour("--ink");
    pen.fillText(named(node), x + 6, y + 0.5, WIDTH - 10);
  }
  pen.globalAlpha = 1;
}

function begin(canvas: HTMLCanvasElement, view: Viewport, room: Paint["room"]) {
  const pen = canvas.getContext("2d");
  if (pen === null) return null;
  const ratio = devicePixelRatio;
  const size = { width: Math.round(room.width * ratio), height: Math.round(room.height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, size.width, size.height);
  pen.setTransform(view.scale * ratio, 0, 0, view.scale * ratio, view.x * ratio, view.y * ratio);
  return { pen, colour: colours(canvas) };
}

/** What brings lines painted for one view to where another has them. */
export function moved(painted: Viewport, view: Viewport): string {
  const ratio = view.scale / painted.scale;
  return `translate(${view.x - painted.x * ratio}px, ${view.y - painted.y * ratio}px) scale(${ratio})`;
}

/** Healthy: a thin line. Degraded: dashed amber. Down: doubled red. */
export function look({ kind, status }: Node, isPicked: boolean, isFound: boolean) {
  const standsOut = isPicked || isFound;
  return {
    round: kind === "service" ? 3 : 8,
    fill: standsOut ? "--accent-soft" : kind === "service" ? "--card" : "--soft",
    line: standsOut ? "--accent" : { healthy: "--node-line", degraded: "--amber", down: "--red" }[status],
    width: isPicked ? 2.4 : status === "healthy" && !isFound ? 1 : 1.8,
    dash: status === "degraded" ? [4, 2.5] : [],
    isDoubled: status === "down",
  };
}

/** As on the map: quiet boxes are faded, and more so what doesn't stand out. */
export const strength = (id: string, near: ReadonlySet<string> | null, present: ReadonlyMap<string, unknown>) => (near !== null && !near.has(id) ? 0.2 : present.has(id) ? 1 : 0.4);

/** How far within a box its second line runs. */
export const INNER = 2.5;

function box(pen: CanvasRenderingContext2D, { x, y }: { x: number; y: number }, colour: (name: string) => string, { round, fill, line, width, dash, isDoubled }: ReturnType<typeof look>) {
  pen.beginPath();
  pen.roundRect(x, y, WIDTH, HEIGHT, round);
  pen.fillStyle = colour(fill);
  pen.fill();
  pen.setLineDash(dash);
  pen.lineWidth = width;
  pen.strokeStyle = colour(line);
  pen.stroke();
  pen.setLineDash([]);
  if (!isDoubled) return;
  pen.lineWidth = 0.8;
  pen.strokeRect(x + INNER, y + INNER, WIDTH - 2 * INNER, HEIGHT - 2 * INNER);
}

export function named({ service, id }: Node): string {
  const text = service.name || id;
  return text.length > 21 ? `${text.slice(0, 12)}…${text.slice(-8)}` : text;
}

export function colours(element: Element) {
  const style = getComputedStyle(element);
  const known = new Map<string, string>();
  return (variable: string) => {
    const value = known.get(variable) ?? style.getPropertyValue(variable);
    known.set(variable, value);
    return value;
  };
}

/** The lines of one node, to be drawn over all others, and whom they touch. */
export function linesAt<P extends Pen>(id: string, edges: Edges, layout: BigLayout, path: P): { path: P; near: Set<string> } {
  const near = new Set([id]);
  for (const edge of edges.values()) {
    if (edge.from !== id && edge.to !== id) continue;
    curve(path, edge, layout);
    near.add(edge.from).add(edge.to);
  }
  return { path, near };
}
