// The map in other forms: files that other programs read.

import type { Edge, Node } from "../api/client";
import { namer } from "../format/names";
import { latency, percent, rate } from "../format/numbers";

export type Nodes = ReadonlyMap<string, Node>;
export type Edges = ReadonlyMap<string, Edge>;

export interface Picture {
  /** SVG */
  text: string;
  width: number;
  height: number;
}

const COLUMNS = ["from", "to", "callCount", "rate", "errorCount", "errorRate", "retryCount", "rejected", "timeouts", "avgLatency", "p50Latency", "p95Latency", "p99Latency", "confidence"] as const;

export function csv(edges: Edges): string {
  const rows = [...edges.values()].map((edge) => COLUMNS.map((column) => cell(edge[column])).join(","));
  return [COLUMNS.join(","), ...rows].join("\r\n") + "\r\n";
}

/** Spreadsheets take what begins like a formula for one; names come from telemetry. */
function cell(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function mermaid(nodes: Nodes, edges: Edges): string {
  const name = namer(nodes);
  const ids = new Map([...new Set([...nodes.keys(), ...[...edges.values()].flatMap(({ from, to }) => [from, to])])].map((id, index) => [id, `n${index}`]));
  const boxes = [...ids].map(([id, short]) => `  ${short}["${quoted(name(id))}"]`);
  const arrows = [...edges.values()].map((edge) => {
    const label = `${rate(edge.rate)}, ${percent(edge.errorRate)}, p95 ${latency(edge.p95Latency)}`;
    return `  ${ids.get(edge.from) ?? ""} -->|"${quoted(label)}"| ${ids.get(edge.to) ?? ""}`;
  });
  return ["flowchart LR", ...boxes, ...arrows].join("\n") + "\n";
}

const quoted = (text: string) => text.replace(/["#&<>]/g, (mark) => `#${mark.charCodeAt(0)};`).replace(/\s+/g, " ");

export const json = (nodes: Nodes, edges: Edges) => JSON.stringify({ nodes: [...nodes.values()], edges: [...edges.values()] }, null, 2);

/** XML has no form for some characters; names may hold any. */
export const sayable = (text: string) => text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");

/** The drawing with its styles written into it, so that it looks the same elsewhere. */
export function svg(drawn: SVGSVGElement, { width, height }: { width: number; height: number }): Picture {
  const copy = drawn.cloneNode(true) as SVGSVGElement;
  const [from, to] = [drawn.querySelectorAll("*"), copy.querySelectorAll("*")];
  to.forEach((element, index) => {
    const original = from[index];
    if (original !== undefined && element instanceof SVGElement) paint(element, getComputedStyle(original));
  });
  copy.querySelectorAll(".hit, .dots, .pulse").forEach((element) => element.remove());
  copy.querySelector("g")?.removeAttribute("transform");
  for (const [name, value] of Object.entries({ xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` })) copy.setAttribute(name, String(value));
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(document.body).getPropertyValue("--card") })) ground.setAttribute(name, String(value));
  copy.prepend(ground);
  return { text: sayable(new XMLSerializer().serializeToString(copy)), width, height };
}

const PAINTS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "paint-order", "opacity", "font-size", "font-weight", "font-family", "text-anchor"];

function paint(element: SVGElement, style: CSSStyleDeclaration) {
  for (const name of PAINTS) element.setAttribute(name, style.getPropertyValue(name));
}

/** Browsers have no longer canvas, and large ones take seconds. */
const [LONGEST_PX, MOST_PX] = [16_000, 8e6];

export async function png({ text, width, height }: Picture): Promise<Blob> {
  const image = new Image();
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    image.src = url;
    await image.decode();
    const scale = Math.min(2, LONGEST_PX / width, LONGEST_PX / height, Math.sqrt(MOST_PX / (width * height)));
    const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((done, fail) => canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("the picture is too large")))));
  } finally {
    URL.revokeObjectURL(url);
  }
}

export function save(name: string, content: string | Blob, type = "text/plain") {
  const url = URL.createObjectURL(typeof content === "string" ? new Blob([content], { type }) : content);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
