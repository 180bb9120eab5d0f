import { useEffect, useImperativeHandle, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type Ref } from "react";
import type { Edge, Node } from "../../api/client";
import { exact } from "../../format/numbers";
import { Icon } from "../../parts/Icon";
import { isDark } from "../../theme";
import { useSettings } from "../../settings";
import { words } from "../../words";
import type { Picture } from "../exports";
import { nodeWords } from "../figures";
import type { Found } from "../seek";
import { useViewport } from "../useViewport";
import { step } from "../walk";
import { colours, linesAt, moved, paint, paintLines, scene } from "./paint";
import { pictureOf } from "./picture";
import { usePulse } from "./pulse";
import { useRested } from "./useRested";
import { HEIGHT, WIDTH, type BigLayout } from "./place";
import { useBigLayout } from "./useBigLayout";

interface Props {
  /** What selecting one is for. */
  hint: string;
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
  /** What is in the graph now; the other nodes are quiet. */
  present: ReadonlyMap<string, unknown>;
  /** null: nothing is searched for. */
  found: Found | null;
  selected: string;
  moves: boolean;
  source: string;
  picture: Ref<() => Picture>;
  onNode: (id: string) => void;
}

/** Lines follow a moving view as a picture, and are painted anew when it rests for so long. */
const REST_MS = 150;

/** All of a large graph at once, on a canvas. */
export function Overview({ hint, nodes, edges, present, found, selected, moves, source, picture, onNode }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const pulses = useRef<HTMLCanvasElement>(null);
  const layout = useBigLayout(nodes, edges);
  const { view, room, zoom, reset, dragging } = useViewport(box, layout, { least: 0.05 });
  const [pointed, point] = useState("");
  const steps = useSettings();
  // Thousands of faint lines would hide the few that are found.
  const calls = useMemo(() => (found === null ? edges : new Map([...edges].filter(([key]) => found.edges.has(key) || found.near.has(key)))), [edges, found]);
  const drawn = useMemo(() => scene(nodes, calls, layout, steps), [nodes, calls, layout, steps]);
  const here = pointed !== "" ? pointed : selected;
  const lines = useMemo(() => (here === "" ? null : linesAt(here, edges, layout, new Path2D())), [here, edges, layout]);
  const near = useMemo(() => (found === null ? lines?.near ?? null : new Set([...found.nodes, ...found.near])), [found, lines]);
  const theme = `${isDark()} ${steps.contrast}`;
  const rested = useRested(view, REST_MS);
  useEffect(() => {
    if (below.current === null || room.width === 0) return;
    paintLines(below.current, drawn, { view: rested, room });
  }, [drawn, rested, room, theme]);
  useEffect(() => {
    if (below.current) below.current.style.transform = moved(rested, view);
    const frame = requestAnimationFrame(() => {
      if (canvas.current === null || room.width === 0) return;
      performance.mark("overview");
      paint(canvas.current, drawn, { view, room, near, present, found: found?.nodes, nearLines: lines?.path ?? null, picked: here });
      performance.measure("overview painted", "overview");
    });
    return () => cancelAnimationFrame(frame);
  }, [drawn, view, rested, room, near, present, found, lines, here, theme]);
  useImperativeHandle(picture, () => () => pictureOf({ nodes, edges: calls, layout, steps, near, present, found: found?.nodes, picked: here }, colours(document.body), getComputedStyle(document.body).fontFamily));
  usePulse(pulses, edges, layout, moves, { view, room });

  const at = (event: PointerEvent) => {
    const frame = event.currentTarget.getBoundingClientRect();
    return nodeAt(nodes, layout, (event.clientX - frame.left - view.x) / view.scale, (event.clientY - frame.top - view.y) / view.scale);
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && here !== "") { onNode(here); return; }
    const next = here === "" ? [...layout.places.keys()].find((id) => nodes.has(id)) : step(event.key, here, { nodes, edges, layout });
    if (next === undefined || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    point(next);
  };
  const node = nodes.get(here);
  return (
    <>
      <p className="overview-words small muted" title={source}>{words.map.overview(exact(nodes.size), exact(edges.size))} {hint}</p>
      <div className="map-box" ref={box} {...dragging}>
        <canvas className={`lines ${lines === null ? "" : "faint"}`} ref={below} aria-hidden="true" />
        <canvas className="pulses" ref={pulses} aria-hidden="true" />
        <canvas ref={canvas} tabIndex={0} role="application" aria-label={`${words.map.region}. ${node ? nodeWords(node) : ""}`} data-overview=""
          onPointerMove={(event) => event.buttons === 0 && point(at(event))} onPointerLeave={() => point("")}
          onClick={(event) => {
            const id = at(event as unknown as PointerEvent);
            if (id !== "") onNode(id);
          }} onKeyDown={press} />
        {node && <p className="overview-node" aria-live="polite">{nodeWords(node)}</p>}
        <div className="zoom" role="group">
          <button type="button" title={words.map.in} onClick={() => zoom(1.4)}><Icon name="plus" size={14} /><span className="unseen">{words.map.in}</span></button>
          <button type="button" title={words.map.out} onClick={() => zoom(1 / 1.4)}><Icon name="minus" size={14} /><span className="unseen">{words.map.out}</span></button>
          <button type="button" title={words.map.fit} onClick={reset}><Icon name="fit" size={14} /><span className="unseen">{words.map.fit}</span></button>
        </div>
      </div>
    </>
  );
}

function nodeAt(nodes: ReadonlyMap<string, Node>, { places }: BigLayout, x: number, y: number): string {
  for (const [id, place] of places) {
    if (nodes.has(id) && x >= place.x && x <= place.x + WIDTH && Math.abs(y - place.y) <= HEIGHT / 2 + 2) return id;
  }
  return "";
}
