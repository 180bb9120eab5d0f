import { useEffect, useImperativeHandle, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent, type Ref } from "react";
import type { Edge, Node } from "../../api/client";
import { exact } from "../../format/numbers";
import { Icon } from "../../parts/Icon";
import { isDark } from "../../theme";
import { useSettings } from "../../settings";
import { words } from "../../words";
import type { Picture } from "../exports";
import { nodeWords } from "../figures";
import { matches } from "../shown";
import { useViewport } from "../useViewport";
import { step } from "../walk";
import { colours, linesAt, moved, paint, paintLines, scene } from "./paint";
import { pictureOf } from "./picture";
import { usePulse } from "./pulse";
import { useRested } from "./useRested";
import { HEIGHT, WIDTH, type BigLayout } from "./place";
import { useBigLayout } from "./useBigLayout";

interface Props {
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
  search: string;
  selected: string;
  moves: boolean;
  picture: Ref<() => Picture>;
  onNode: (id: string) => void;
}

/** Lines follow a moving view as a picture, and are painted anew when it rests for so long. */
const REST_MS = 150;

/** All of a large graph at once, on a canvas. */
export function Overview({ nodes, edges, search, selected, moves, picture, onNode }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const pulses = useRef<HTMLCanvasElement>(null);
  const layout = useBigLayout(nodes, edges);
  const { view, room, zoom, reset, dragging } = useViewport(box, layout, 0.05);
  const [pointed, point] = useState("");
  const steps = useSettings();
  const drawn = useMemo(() => scene(nodes, edges, layout, steps), [nodes, edges, layout, steps]);
  const here = pointed !== "" ? pointed : selected;
  const lines = useMemo(() => (here === "" ? null : linesAt(here, edges, layout, new Path2D())), [here, edges, layout]);
  const found = useMemo(() => (search.trim() === "" ? null : new Set([...nodes.values()].filter((node) => matches(node, search)).map(({ id }) => id))), [nodes, search]);
  const theme = `${isDark()} ${steps.contrast}`;
  const rested = useRested(view, REST_MS);
  const isDimmed = found !== null || lines !== null;
  useEffect(() => {
    if (below.current === null || room.width === 0) return;
    paintLines(below.current, drawn, { view: rested, room });
  }, [drawn, rested, room, theme]);
  useEffect(() => {
    if (below.current) below.current.style.transform = moved(rested, view);
    const frame = requestAnimationFrame(() => {
      if (canvas.current === null || room.width === 0) return;
      performance.mark("overview");
      paint(canvas.current, drawn, { view, room, near: found ?? lines?.near ?? null, nearLines: lines?.path ?? null, picked: here });
      performance.measure("overview painted", "overview");
    });
    return () => cancelAnimationFrame(frame);
  }, [drawn, view, rested, room, found, lines, here, theme]);
  useImperativeHandle(picture, () => () => pictureOf({ nodes, edges, layout, steps, found, picked: here }, colours(document.body), getComputedStyle(document.body).fontFamily));
  usePulse(pulses, edges, layout, moves, { view, room });

  const at = (event: PointerEvent) => {
    const frame = event.currentTarget.getBoundingClientRect();
    return nodeAt(layout, (event.clientX - frame.left - view.x) / view.scale, (event.clientY - frame.top - view.y) / view.scale);
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && here !== "") { onNode(here); return; }
    const next = here === "" ? [...layout.places.keys()][0] : step(event.key, here, { layout, edges });
    if (next === undefined || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    point(next);
  };
  const node = nodes.get(here);
  return (
    <>
      <p className="overview-words small muted">{words.map.overview(exact(nodes.size), exact(edges.size))}</p>
      <div className="map-box" ref={box} {...dragging}>
        <canvas className={`lines ${isDimmed ? "faint" : ""}`} ref={below} aria-hidden="true" />
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

function nodeAt({ places }: BigLayout, x: number, y: number): string {
  for (const [id, place] of places) {
    if (x >= place.x && x <= place.x + WIDTH && Math.abs(y - place.y) <= HEIGHT / 2 + 2) return id;
  }
  return "";
}
