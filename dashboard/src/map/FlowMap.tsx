import { useDeferredValue, useImperativeHandle, useMemo, useRef, useState, type KeyboardEvent, type Ref } from "react";
import { namer, sharedNames } from "../format/names";
import { Icon } from "../parts/Icon";
import { useSettings } from "../settings";
import { words } from "../words";
import { EdgeLabel } from "./EdgeLabel";
import { EdgeShape } from "./EdgeShape";
import { svg, type Picture } from "./exports";
import { edgeWords, type Label } from "./figures";
import { NodeShape } from "./NodeShape";
import type { Found } from "./seek";
import { NODE_HEIGHT, NODE_WIDTH, type Layout } from "./layout/shapes";
import type { Drawn } from "./useLayout";
import { useViewport, type Box } from "./useViewport";
import { step } from "./walk";

interface Props {
  drawn: Drawn;
  /** What is in the graph now; the rest of what is drawn is quiet. */
  present: { nodes: ReadonlyMap<string, unknown>; edges: ReadonlyMap<string, unknown> };
  label: Label;
  /** null: nothing is searched for. */
  found: Found | null;
  selected: string;
  moves: boolean;
  /** What its numbers say of themselves when they are pointed at. */
  source: string;
  picture?: Ref<() => Picture>;
  onNode: (id: string) => void;
  onEdge: (key: string) => void;
}

/** Beyond this many edges dots would cost more than they tell. */
const DOTS = 60;

export function FlowMap({ drawn, present, label, found, selected, moves, source, picture, onNode, onEdge }: Props) {
  const { nodes, edges, layout } = drawn;
  const box = useRef<HTMLDivElement>(null);
  const { view, zoom, reset, dragging } = useViewport(box, layout, { selected: useMemo(() => boxOf(selected, layout), [selected, layout]) });
  const [hovered, hover] = useState<string | null>(null);
  const [focused, focus] = useState<string | null>(null);
  const drawing = useRef<SVGSVGElement>(null);
  useImperativeHandle(picture, () => () => svg(drawing.current as SVGSVGElement, layout));
  const steps = useSettings();
  const shared = useMemo(() => sharedNames(nodes.values()), [nodes]);
  const name = useMemo(() => namer(nodes), [nodes]);
  // What is pointed at on the way to a click must not keep the click waiting.
  const pointed = useDeferredValue(hovered ?? focused);
  const near = useMemo(() => neighbourhood(pointed, edges), [pointed, edges]);
  const [early] = useState(() => new Set([...layout.places.keys(), ...layout.routes.keys()]));
  // Where calls begin, as one reads.
  const first = nodes.has(selected) ? selected : [...layout.places].filter(([id]) => nodes.has(id)).sort(([, a], [, b]) => a.layer - b.layer || a.y - b.y)[0]?.[0];

  const nodeState = (id: string) => [
    early.has(id) ? "" : "joined",
    present.nodes.has(id) ? "" : "quiet",
    near !== null && !near.has(id) ? "dimmed" : "",
    id === selected ? "picked" : "",
    found === null ? "" : found.nodes.has(id) ? "found" : found.near.has(id) ? "" : "dimmed",
  ].join(" ");
  const edgeState = (key: string) => [
    early.has(key) ? "" : "joined", present.edges.has(key) ? "" : "quiet", near !== null && !near.has(key) ? "dimmed" : near !== null ? "near" : "", key === selected ? "picked" : "",
    found === null || found.edges.has(key) || found.near.has(key) ? "" : "dimmed",
  ].join(" ");

  return (
    <div className="map-box" ref={box} {...dragging}>
      <svg ref={drawing} className="map" role="group" aria-label={words.map.region} onKeyDown={(event) => walk(event, drawn, onNode)}>
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {[...layout.routes].map(([key, route]) => {
            const edge = edges.get(key);
            const isQuiet = !present.edges.has(key);
            return edge && <EdgeShape key={key} id={key} edge={edge} route={route} steps={steps}
              words={isQuiet ? `${name(edge.from)} → ${name(edge.to)}: ${words.map.quiet}` : `${edgeWords(edge, name, label)}\n${source}`}
              state={edgeState(key)} moves={moves && !isQuiet} hasDots={layout.routes.size <= DOTS} onPick={onEdge} onHover={hover} />;
          })}
          {[...layout.labels].map(([key, at]) => {
            const edge = edges.get(key);
            return edge && present.edges.has(key) && <EdgeLabel key={key} edge={edge} at={at} label={label} steps={steps} state={edgeState(key)} />;
          })}
          {[...layout.places].map(([id, place]) => {
            const node = nodes.get(id);
            return node && <NodeShape key={id} node={node} place={place} label={label} isShared={shared.has(node.service.name)} steps={steps}
              state={nodeState(id)} isTabStop={id === first} source={source} onPick={onNode} onHover={hover} onFocus={focus} />;
          })}
        </g>
      </svg>
      <div className="zoom" role="group">
        <button type="button" title={words.map.in} onClick={() => zoom(1.25)}><Icon name="plus" size={14} /><span className="unseen">{words.map.in}</span></button>
        <button type="button" title={words.map.out} onClick={() => zoom(0.8)}><Icon name="minus" size={14} /><span className="unseen">{words.map.out}</span></button>
        <button type="button" title={words.map.fit} onClick={reset}><Icon name="fit" size={14} /><span className="unseen">{words.map.fit}</span></button>
      </div>
    </div>
  );
}

/** Where a node is, or the label of an edge. */
function boxOf(selected: string, { places, labels }: Layout): Box | undefined {
  const place = places.get(selected);
  if (place) return { x: place.x, y: place.y - NODE_HEIGHT / 2, width: NODE_WIDTH, height: NODE_HEIGHT };
  const label = labels.get(selected);
  return label && { ...label, width: 0, height: 0 };
}

/** What is pointed at and what it touches: ids of nodes and keys of edges. */
function neighbourhood(pointed: string | null, edges: Drawn["edges"]): Set<string> | null {
  if (pointed === null) return null;
  const near = new Set([pointed]);
  for (const [key, { from, to }] of edges) {
    if (key !== pointed && from !== pointed && to !== pointed) continue;
    near.add(key).add(from).add(to);
  }
  return near;
}

function walk(event: KeyboardEvent<SVGSVGElement>, drawn: Drawn, open: (id: string) => void) {
  const target = event.target;
  const id = target instanceof SVGElement ? target.dataset["node"] : undefined;
  if (id === undefined) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    open(id); return;
  }
  const next = step(event.key, id, drawn);
  if (next === undefined) return;
  event.preventDefault();
  event.currentTarget.querySelector<SVGElement>(`[data-node="${CSS.escape(next)}"]`)?.focus();
}
