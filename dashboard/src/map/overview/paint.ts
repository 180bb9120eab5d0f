// Draws the overview on a canvas: lines first, in a few strokes for all of a kind, then boxes, then names where they can be read.

import type { Edge, Node } from "../../api/client";
import { trouble } from "../../format/numbers";
import type { Viewport } from "../useViewport";
import { HEIGHT, WIDTH, type BigLayout } from "./place";

export interface Scene {
  nodes: ReadonlyMap<string, Node>;
  layout: BigLayout;
  /** Lines by colour and width. */
  lines: { path: Path2D; level: string; width: number }[];
}

const LEVELS = ["", "some", "many"] as const;
const WIDTHS = [0.7, 1.4, 2.6] as const;
/** Names smaller than this on the screen, px, are only dirt. */
const READABLE = 8;

export function scene(nodes: ReadonlyMap<string, Node>, edges: ReadonlyMap<string, Edge>, layout: BigLayout, steps: { some: number; many: number }): Scene {
  const lines = LEVELS.flatMap((level) => WIDTHS.map((width) => ({ path: new Path2D(), level: level, width: width })));
  for (const edge of edges.values()) {
    const level = LEVELS.indexOf(trouble(edge.errorRate, steps));
    const width = edge.rate < 1 ? 0 : edge.rate < 20 ? 1 : 2;
    const line = lines[level * WIDTHS.length + width];
    if (line) curve(line.path, edge, layout);
  }
  return { nodes, layout, lines };
}

function curve(path: Path2D, { from, to }: Edge, { places }: BigLayout) {
  const [a, b] = [places.get(from), places.get(to)];
  if (a === undefined || b === undefined || from === to) return;
  const [ax, bx] = [a.x + WIDTH, b.x];
  const bend = Math.max(24, Math.abs(bx - ax) * 0.4);
  path.moveTo(ax, a.y);
  path.bezierCurveTo(ax + bend, a.y, bx - bend, b.y, bx, b.y);
}

export interface Paint {
  view: Viewport;
  room: { width: number; height: number };
  /** Ids that stand out; null: all are equal. */
  near: ReadonlySet<string> | null;
  nearLines: Path2D | null;
  picked: string;
}

/** The lines alone: thousands of curves, so only when the view has come to rest. */
export function paintLines(canvas: HTMLCanvasElement, { lines }: Scene, { view, room }: Pick<Paint, "view" | "room">) {
  const begun = begin(canvas, view, room);
  if (begun === null) return;
  const { pen, colour } = begun;
  for (const { path, level, width } of lines) {
    pen.globalAlpha = level === "" ? 0.32 : 0.75;
    pen.strokeStyle = level === "" ? colour("--edge") : colour(level === "some" ? "--amber" : "--red");
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
export function paint(canvas: HTMLCanvasElement, { nodes, layout }: Scene, { view, room, near, nearLines, picked }: Paint) {
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
    pen.globalAlpha = near === null || near.has(id) ? 1 : 0.2;
    box(pen, node, { x, y: y - HEIGHT / 2 }, colour, id === picked);
    if (withNames) name(pen, node, x, y, colour("--ink"));
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
function box(pen: CanvasRenderingContext2D, node: Node, { x, y }: { x: number; y: number }, colour: (name: string) => string, isPicked: boolean) {
  pen.beginPath();
  pen.roundRect(x, y, WIDTH, HEIGHT, node.kind === "service" ? 3 : 8);
  pen.fillStyle = colour(isPicked ? "--accent-soft" : node.kind === "service" ? "--card" : "--soft");
  pen.fill();
  pen.setLineDash(node.status === "degraded" ? [4, 2.5] : []);
  pen.lineWidth = isPicked ? 2.4 : node.status === "healthy" ? 1 : 1.8;
  pen.strokeStyle = colour(isPicked ? "--accent" : { healthy: "--node-line", degraded: "--amber", down: "--red" }[node.status]);
  pen.stroke();
  pen.setLineDash([]);
  if (node.status !== "down") return;
  pen.lineWidth = 0.8;
  pen.strokeRect(x + 2.5, y + 2.5, WIDTH - 5, HEIGHT - 5);
}

function name(pen: CanvasRenderingContext2D, { service, id }: Node, x: number, y: number, ink: string) {
  const text = service.name || id;
  pen.fillStyle = ink;
  pen.fillText(text.length > 21 ? `${text.slice(0, 12)}…${text.slice(-8)}` : text, x + 6, y + 0.5, WIDTH - 10);
}

function colours(element: Element) {
  const style = getComputedStyle(element);
  const known = new Map<string, string>();
  return (variable: string) => {
    const value = known.get(variable) ?? style.getPropertyValue(variable);
    known.set(variable, value);
    return value;
  };
}

/** The lines of one node, to be drawn over all others. */
export function linesOf(id: string, edges: ReadonlyMap<string, Edge>, layout: BigLayout): { path: Path2D; near: Set<string> } {
  const path = new Path2D();
  const near = new Set([id]);
  for (const edge of edges.values()) {
    if (edge.from !== id && edge.to !== id) continue;
    curve(path, edge, layout);
    near.add(edge.from).add(edge.to);
  }
  return { path, near };
}
