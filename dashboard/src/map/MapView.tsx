import { useMemo, useState } from "react";
import { namer } from "../format/names";
import { exact } from "../format/numbers";
import { edgeKey } from "../live/state";
import { useHeld } from "../live/useFeed";
import { useLook } from "../look";
import { EdgePanel } from "../panel/EdgePanel";
import { NodePanel } from "../panel/NodePanel";
import { How } from "../parts/How";
import { Boundary, Refused } from "../parts/States";
import { set } from "../url/address";
import { words } from "../words";
import { CLOSED, MOST_HOPS, openEdge, openNode, useMapChoice, type MapChoice } from "./choice";
import { EdgeTable } from "./EdgeTable";
import { EdgeTree } from "./EdgeTree";
import { Empty } from "./Empty";
import { csv, json, mermaid, png, save, svg, type Edges, type Nodes } from "./exports";
import { FlowMap } from "./FlowMap";
import { useIsLarge } from "./large";
import type { Layout } from "./layout/shapes";
import { Legend } from "./Legend";
import { MapBar } from "./MapBar";
import { Overview } from "./overview/Overview";
import { matches, part } from "./shown";
import { useLayout } from "./useLayout";
import { useGroup, useMapGraph } from "./useMapGraph";

const NOTHING = new Map<string, never>();

export function MapView() {
  const look = useLook();
  const choice = useMapChoice();
  const group = useGroup(choice);
  const mapped = useMapGraph(group);
  const { graph, error, again, how } = mapped;
  const [paused, pause] = useState(false);
  const [tidied, tidy] = useState(0);
  const [search, find] = useState("");
  const { shown: held, waiting } = useHeld(graph, paused && graph.loaded, JSON.stringify([look.filters, group]));
  const { cluster, service, namespace } = look.filters;
  const { focus, hops, only } = choice;
  // Around a service, what is rare among all flows may be all there is.
  const withRare = choice.withRare || [cluster, service, namespace].some((name) => name !== "");
  const seen = useMemo(() => part(held, { focus, hops, only, withRare }), [held, focus, hops, only, withRare]);
  const of = JSON.stringify([look.filters, group, focus, hops, only, withRare, tidied]);
  const isLarge = useIsLarge(seen.nodes.size, of);
  // Only what is drawn one by one is laid out with care.
  const drawn = useLayout(isLarge ? NOTHING : seen.nodes, isLarge ? NOTHING : seen.edges, of);
  const nodes = isLarge ? seen.nodes : drawn.nodes;
  const found = search === "" ? 0 : [...nodes.values()].filter((node) => matches(node, search)).length;
  const selected = choice.node !== "" ? choice.node : choice.edge ? edgeKey(choice.edge) : "";
  const onNode = (id: string) => set(openNode(id), { replace: selected !== "" });
  const onEdge = (key: string) => {
    const edge = isLarge ? seen.edges.get(key) : drawn.edges.get(key);
    if (edge) set(openEdge(edge), { replace: selected !== "" });
  };
  const isEmpty = nodes.size === 0;
  // What has gone quiet can be opened, but calls nobody; what is hidden as rare does.
  const known = useMemo(() => new Map([...nodes, ...held.nodes]), [nodes, held.nodes]);
  return (
    <div className="with-panel">
      <section className="card map-card" aria-label={words.map.title}>
        <h1 className="unseen">{words.map.title}</h1>
        <MapBar choice={choice} group={group} search={search} onSearch={find} found={found} paused={paused} waiting={waiting}
          onPause={() => pause(!paused)} onTidy={() => tidy(tidied + 1)} exports={exporting(seen, drawn.layout, isLarge)}>
          <Focus choice={choice} name={namer(nodes)} />
          {choice.group === null && group === "namespace" && <ByNamespace services={look.graph.nodes.size} />}
          {(choice.withRare || !withRare) && <Rare rare={seen.rare} withRare={withRare} />}
          <How url={how} />
          {look.filters.status !== "" && <span className="small muted">{words.filters.statusOnMap}</span>}
        </MapBar>
        {error != null && graph.loaded && <Refused error={error} again={again} />}
        {isEmpty ? <Empty of={mapped} only={only} /> : <>
          {choice.as === "map" && isLarge && <Overview nodes={seen.nodes} edges={seen.edges} of={of} search={search} selected={selected} onNode={onNode} />}
          {choice.as === "map" && !isLarge && <FlowMap key={of} drawn={drawn} present={held} label={choice.label} search={search} selected={selected}
            moves={look.isLive && look.connection.state === "open" && !paused && group === "none"} onNode={onNode} onEdge={onEdge} />}
          {choice.as === "table" && <EdgeTable nodes={nodes} edges={seen.edges} selected={selected} onEdge={onEdge} />}
          {choice.as === "tree" && <EdgeTree nodes={seen.nodes} edges={seen.edges} onNode={onNode} onEdge={onEdge} />}
          {choice.as === "map" && <Legend />}
        </>}
      </section>
      <Boundary key={selected}><Selected choice={choice} nodes={known} edges={held.edges} /></Boundary>
    </div>
  );
}

function Selected({ choice: { node, edge }, nodes, edges }: { choice: MapChoice; nodes: Nodes; edges: Edges }) {
  const close = () => set(CLOSED);
  const selected = nodes.get(node);
  if (selected) return <NodePanel node={selected} nodes={nodes} edges={edges} onClose={close} />;
  return edge && <EdgePanel from={edge.from} to={edge.to} nodes={nodes} onClose={close} />;
}

function Focus({ choice: { focus, hops }, name }: { choice: MapChoice; name: (id: string) => string }) {
  if (focus === "") return null;
  return (
    <span className="row focus">
      <b>{words.map.focus(name(focus))}</b>
      <label className="field"><span className="field-name">{words.map.hops}</span>
        <select value={hops} onChange={(event) => set({ hops: event.target.value })}>
          {Array.from({ length: MOST_HOPS }, (_, index) => <option key={index} value={index + 1}>{index + 1}</option>)}
        </select>
      </label>
      <button type="button" data-escape="" onClick={() => set({ focus: null, hops: null })}>{words.map.unfocus}</button>
    </span>
  );
}

function ByNamespace({ services }: { services: number }) {
  return <span className="small muted">{words.map.byNamespace(exact(services))} <button type="button" className="link small" onClick={() => set({ group: "none" })}>{words.map.showAll}</button></span>;
}

function Rare({ rare, withRare }: { rare: number; withRare: boolean }) {
  if (withRare) return <button type="button" className="link small" onClick={() => set({ rare: null })}>{words.map.rareShown}</button>;
  if (rare === 0) return null;
  return <span className="small muted">{words.map.rareHidden(exact(rare))} <button type="button" className="link small" onClick={() => set({ rare: "true" })}>{words.map.showRare}</button></span>;
}

/** Pictures are of what is drawn; figures only of what there is now. */
function exporting({ nodes, edges }: { nodes: Nodes; edges: Edges }, layout: Layout, isLarge: boolean) {
  const name = (ending: string) => `weir-map-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`;
  const picture = () => {
    const drawing = document.querySelector<SVGSVGElement>("svg.map[role=group]");
    return drawing && svg(drawing, layout);
  };
  return [
    { name: "CSV", act: () => save(name("csv"), csv(edges), "text/csv") },
    { name: "JSON", act: () => save(name("json"), json(nodes, edges), "application/json") },
    { name: "Mermaid", act: () => save(name("mmd"), mermaid(nodes, edges)) },
    ...(isLarge ? [] : [
    { name: "SVG", act: () => { const text = picture(); if (text) save(name("svg"), text, "image/svg+xml"); } },
    { name: "PNG", act: () => { const text = picture(); if (text) void png(text, layout).then((blob) => save(name("png"), blob)); } },
    ]),
  ];
}
