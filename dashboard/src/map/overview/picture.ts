// The overview as an SVG: all of it, with all names, as the canvas shows the part in sight.

import type { Edge, Node } from "../../api/client";
import { sayable, type Picture } from "../exports";
import { INNER, linesAt, linesOf, look, named, strength, type Pen } from "./paint";
import { HEIGHT, WIDTH, type BigLayout } from "./place";

/** Lines that don't stand out. */
const FAINT_LINES = 0.18;

/** A canvas' pen that writes what it draws. */
class TextPath implements Pen {
  text = "";
  moveTo(x: number, y: number) {
    this.text += `M${x} ${y}`;
  }
  bezierCurveTo(...ends: number[]) {
    this.text += `C${ends.join(" ")}`;
  }
}

interface Drawn {
  nodes: ReadonlyMap<string, Node>;
  edges: ReadonlyMap<string, Edge>;
  layout: BigLayout;
  steps: { some: number; many: number };
  /** Ids that stand out; null: all are equal. */
  near: ReadonlySet<string> | null;
  present: ReadonlyMap<string, unknown>;
  found: ReadonlySet<string> | undefined;
  picked: string;
}

export function pictureOf({ nodes, edges, layout, steps, near, present, found, picked }: Drawn, colour: (variable: string) => string, font: string): Picture {
  const { width, height, places } = layout;
  const at = picked === "" ? null : linesAt(picked, edges, layout, new TextPath());
  const line = (path: string, variable: string, wide: number, alpha: number) => tag("path", { d: path, fill: "none", stroke: colour(variable), "stroke-width": wide, opacity: alpha });
  const box = (id: string, x: number, y: number) => {
    const node = nodes.get(id);
    if (node === undefined) return "";
    const { round, fill, line: edge, width: wide, dash, isDoubled } = look(node, id === picked, found?.has(id) ?? false);
    const frame = (inset: number, more: Attributes) => tag("rect", { x: x + inset, y: y - HEIGHT / 2 + inset, width: WIDTH - 2 * inset, height: HEIGHT - 2 * inset, stroke: colour(edge), ...more });
    return tag("g", { opacity: strength(id, near, present) },
      frame(0, { rx: round, fill: colour(fill), "stroke-width": wide, "stroke-dasharray": dash.join(" ") })
      + (isDoubled ? frame(INNER, { fill: "none", "stroke-width": 0.8 }) : "")
      + tag("text", { x: x + 6, y: y + 3.5, fill: colour("--ink") }, escaped(named(node))));
  };
  const parts = [
    tag("rect", { width, height, fill: colour("--card") }),
    tag("g", { opacity: at === null ? 1 : FAINT_LINES }, linesOf(edges, layout, steps, () => new TextPath()).map((each) => line(each.path.text, each.colour, each.width, each.alpha)).join("")),
    at === null ? "" : line(at.path.text, "--accent", 1.6, 1),
    ...[...places].map(([id, { x, y }]) => box(id, x, y)),
  ];
  return { width, height, text: tag("svg", { xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}`, "font-size": 10, "font-family": font }, parts.join("")) };
}

type Attributes = Record<string, string | number>;

const tag = (name: string, attributes: Attributes, inside = "") => `<${name}${Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(String(value))}"`).join("")}>${inside}</${name}>`;
const escaped = (text: string) => sayable(text).replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);
