import { useMemo, useRef, useState } from "react";
import { namer } from "../format/names";
import { exact } from "../format/numbers";
import { edgeKey } from "../live/state";
import { useHeld } from "../live/useFeed";
import { during, useLook } from "../look";
import { EdgePanel } from "../panel/EdgePanel";
import { NodePanel } from "../panel/NodePanel";
import { How } from "../parts/How";
import { useSource } from "../parts/source";
import { Boundary, Refused } from "../parts/States";
import { set } from "../url/address";
import { words } from "../words";
import { CLOSED, MOST_HOPS, OUTSIDE, enterNode, pickEdge, pickNode, useMapChoice, type MapChoice } from "./choice";
import { EdgeTable } from "./EdgeTable";
import { EdgeTree } from "./EdgeTree";
import { Empty } from "./Empty";
import type { Edges, Nodes, Picture } from "./exports";
import { read } from "./expression";
import { ExportMenu } from "./ExportMenu";
import { FlowMap } from "./FlowMap";
import { useIsLarge } from "./large";
import { Legend } from "./Legend";
import { MapBar } from "./MapBar";
import { Overview } from "./overview/Overview";
import { found, without } from "./seek";
import { SeekField } from "./SeekField";
import { Player } from "./Player";
import { amid } from "./replay";
import { part } from "./shown";
import { useLayout } from "./useLayout";
import { useGroup, useMapGraph, useWhole } from "./useMapGraph";

const NOTHING = new Map<string, never>();

export function MapView() {
  const look = useLook();
  const choice = useMapChoice();
  const group = useGroup(choice);
  const mapped = useMapGraph(group);
  const { graph, error, again, how } = mapped;
  const source = useSource(how);
  const { replay } = look;
  const whole = useWhole(group);
  const [paused, pause] = useState(false);
  const [tidied, tidy] = useState(0);
  const picture = useRef<() => Picture>(null);
  const { shown: held, waiting } = useHeld(graph, paused && graph.loaded, JSON.stringify([look.filters, group]));
  const { cluster, service, namespace } = look.filters;
  const { focus, hops, only } = choice;
  // Around a service, what is rare among all flows may be all there is.
  const withRare = choice.withRare || [cluster, service, namespace].some((name) => name !== "");
  const among = replay === null ? held : whole.graph;
  const seen = useMemo(() => part(held, { focus, hops, only, withRare }, among), [held, among, focus, hops, only, withRare]);
  const [find, hide] = [useMemo(() => read(choice.find), [choice.find]), useMemo(() => read(choice.hide), [choice.hide])];
  const left = useMemo(() => (hide.expression ? without(seen, hide.expression) : seen), [seen, hide]);
  const of = JSON.stringify([during(look.filters, replay), group, focus, hops, only, withRare, tidied]);
  const all = useMemo(() => {
    if (replay === null) return left;
    const replayed = amid(part(among, { focus, hops, only, withRare }), seen);
    return hide.expression ? without(replayed, hide.expression) : replayed;
  }, [replay, among, seen, left, hide, focus, hops, only, withRare]);
  const isLarge = useIsLarge(all.nodes.size, of, all.edges.size);
  // Only what is drawn one by one is laid out with care.
  const laid = useLayout(isLarge ? NOTHING : all.nodes, isLarge ? NOTHING : all.edges, of);
  // What is hidden keeps its place: nothing moves while one types.
  const drawn = useMemo(() => (hide.expression ? { ...laid, ...without(laid, hide.expression) } : laid), [laid, hide]);
  const { nodes, edges } = isLarge ? all : drawn;
  const isFound = useMemo(() => find.expression && found({ nodes, edges }, find.expression), [nodes, edges, find]);
  const selected = choice.node !== "" ? choice.node : choice.edge ? edgeKey(choice.edge) : "";
  const isByItself = choice.group === null && group === "namespace";
  const onNode = isByItself ? enterNode : pickNode;
  const moves = look.isLive && look.connection.state === "open" && !paused && group === "none";
  // A replay is drawn once it is known who takes part in it.
  const lacking = replay !== null && !whole.graph.loaded ? whole : all.nodes.size === 0 && laid.nodes.size === 0 ? mapped : null;
  // What has gone quiet can be opened, but calls nobody; what is hidden as rare does.
  const known = useMemo(() => new Map([...nodes, ...held.nodes]), [nodes, held.nodes]);
  return (
    <div className="with-panel">
      <section className="card map-card" aria-label={words.map.title}>
        <h1 className="unseen">{words.map.title}</h1>
        <MapBar choice={choice} group={group} canPause={replay === null} paused={paused} waiting={waiting}
          onPause={() => pause(!paused)} onTidy={() => tidy(tidied + 1)} exportMenu={<ExportMenu nodes={left.nodes} edges={left.edges} picture={picture} isDrawn={choice.as === "map" && lacking === null} />}>
          {choice.as === "map" && <SeekField by="find" written={choice.find} read={find} told={isFound ? words.map.found(exact(isFound.nodes.size + isFound.edges.size)) : ""} />}
          <SeekField by="hide" written={choice.hide} read={hide} told={hide.expression ? words.map.hidden(exact(seen.nodes.size + seen.edges.size - left.nodes.size - left.edges.size)) : ""} />
          <Focus choice={choice} name={namer(nodes)} />
          {namespace !== "" && <button type="button" data-escape="" onClick={() => set(OUTSIDE)}>{words.map.outside}</button>}
        </MapBar>
        {error != null && graph.loaded && <Refused error={error} again={again} />}
        {replay && <Player key={replay.from} replay={replay} group={group} />}
        {lacking ? <Empty of={lacking} only={only} /> : <>
          {choice.as === "map" && isLarge && <Overview key={of} hint={isByItself ? words.map.openOne : words.map.lookAround} nodes={nodes} edges={edges} present={held.nodes} found={isFound} selected={selected} moves={moves} source={source} picture={picture} onNode={onNode} />}
          {choice.as === "map" && !isLarge && <FlowMap key={of} drawn={drawn} present={held} label={choice.label} found={isFound} selected={selected}
            moves={moves} source={source} picture={picture} onNode={onNode} onEdge={pickEdge} />}
          {choice.as === "table" && <EdgeTable nodes={nodes} edges={left.edges} selected={selected} source={source} onEdge={pickEdge} />}
          {choice.as === "tree" && <EdgeTree nodes={left.nodes} edges={left.edges} source={source} onNode={onNode} onEdge={pickEdge} />}
          <footer className="map-foot">
            {choice.as === "map" && <Legend />}
            <Notes choice={choice} isByItself={isByItself} rare={seen.rare} withRare={withRare} />
            <How url={how} />
          </footer>
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

/** What is not shown as it was asked for, and the way there. */
function Notes({ choice, isByItself, rare, withRare }: { choice: MapChoice; isByItself: boolean; rare: number; withRare: boolean }) {
  const { filters: { namespace, status }, graph, isLarge } = useLook();
  return (
    <div className="map-notes small muted">
      {isByItself && <ByNamespace services={graph.nodes.size} />}
      {choice.group === "none" && isLarge && namespace === "" && <button type="button" className="link small" onClick={() => set({ group: null })}>{words.map.showByNamespace}</button>}
      {(choice.withRare || !withRare) && <Rare rare={rare} withRare={withRare} />}
      {status !== "" && <span>{words.filters.statusOnMap}</span>}
    </div>
  );
}

function ByNamespace({ services }: { services: number }) {
  return <span>{words.map.byNamespace(exact(services))} <button type="button" className="link small" onClick={() => set({ group: "none" })}>{words.map.showAll}</button></span>;
}

function Rare({ rare, withRare }: { rare: number; withRare: boolean }) {
  if (withRare) return <button type="button" className="link small" onClick={() => set({ rare: null })}>{words.map.rareShown}</button>;
  if (rare === 0) return null;
  return <span>{words.map.rareHidden(exact(rare))} <button type="button" className="link small" onClick={() => set({ rare: "true" })}>{words.map.showRare}</button></span>;
}
