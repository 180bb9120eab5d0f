import type { ReactNode } from "react";
import { api, type Edge, type Node, type Schemas } from "../api/client";
import { address } from "../api/how";
import { Heatmap } from "../charts/Heatmap";
import { namer } from "../format/names";
import { change, exact, latency, percent, rate, trouble } from "../format/numbers";
import { useLook } from "../look";
import { set } from "../url/address";
import { openNode, useMapChoice } from "../map/choice";
import { useGroup, useMapGraph } from "../map/useMapGraph";
import { edgeKey } from "../live/state";
import { How } from "../parts/How";
import { sourceOf, useSource } from "../parts/source";
import { Answer } from "../parts/States";
import { useSettings } from "../settings";
import { timeWords } from "../shell/TimeMenu";
import { askAgainMs, given, timeQuery } from "../url/filters";
import { words } from "../words";
import { ExemplarFlows } from "./Flows";
import { Figures, Panel, Section, type Figure } from "./Panel";
import { Series, whole } from "./Series";
import { before } from "./windows";

interface Ends {
  from: string;
  to: string;
}

export function EdgePanel({ from, to, nodes, onClose }: Ends & { nodes: ReadonlyMap<string, Node>; onClose: () => void }) {
  const name = namer(nodes);
  const group = useGroup(useMapChoice());
  const { graph, how } = useMapGraph(group);
  const source = useSource(how);
  const edge = graph.edges.get(edgeKey({ from, to }));
  return (
    <Panel kind="edge" onClose={onClose} title={<>
      <button type="button" className="link" onClick={() => set(openNode(from))}>{name(from)}</button> → <button type="button" className="link" onClick={() => set(openNode(to))}>{name(to)}</button></>}>
      {group === "none" ? <Asked from={from} to={to} /> : <OfGroups edge={edge} how={<How url={how} />} source={source} />}
    </Panel>
  );
}

/** The API knows edges of services only; of groups there is what the map says. */
function OfGroups({ edge, how, source }: { edge: Edge | undefined; how: ReactNode; source: string }) {
  return (
    <Section title={words.panel.calls} how={how}>
      {edge ? <EdgeFigures now={edge} then={undefined} source={source} /> : <p className="muted">{words.chart.none}</p>}
      <p className="small muted">{words.panel.grouped}</p>
    </Section>
  );
}

function Asked({ from, to }: Ends) {
  const { filters: { operation, environment, probes, time }, graph: { window } } = useLook();
  const shared = given({ operation, environment, probes });
  const query = { ...shared, ...timeQuery(time) };
  const path = { from, to };
  const again = { refetchInterval: askAgainMs(time), placeholderData: <T,>(last: T) => last };
  const stats = api.useQuery("get", "/api/v1/edges/{from}/{to}/stats", { params: { path, query } }, again);
  const earlierQuery = { ...shared, ...before(time, (window?.to ?? 0) / 1000) };
  const earlier = api.useQuery("get", "/api/v1/edges/{from}/{to}/stats", { params: { path, query: earlierQuery } },
    { enabled: window !== null, staleTime: Infinity, placeholderData: <T,>(last: T) => last });
  const heatQuery = { ...path, ...query };
  const heat = api.useQuery("get", "/api/v1/heatmap", { params: { query: heatQuery } }, again);
  const url = (asked: typeof query) => address(`/api/v1/edges/${encodeURIComponent(from)}/${encodeURIComponent(to)}/stats`, asked);
  const how = <How url={url(query)} />;
  const when = timeWords(time);
  const source = sourceOf(when, url(query));
  return (
    <>
      <Answer of={stats}>{(answer) => <>
        <Section title={when} how={<How url={url(query)} also={[{ title: words.how.before, url: url(earlierQuery) }]} />}><EdgeFigures now={measured(answer.metrics)} then={earlier.data && measured(earlier.data.metrics)} source={source} /></Section>
        <Section title={words.panel.overTime} how={how}><Series of={whole(answer)} exemplars={answer.exemplars} source={source} /></Section>
        <Section title={words.panel.heatmap} how={<How url={address("/api/v1/heatmap", heatQuery)} />}><Answer of={heat}>{(map) => <Heatmap of={map} source={sourceOf(when, address("/api/v1/heatmap"))} />}</Answer></Section>
        <Section title={words.panel.flows} how={how}><ExemplarFlows exemplars={answer.exemplars} source={source} /></Section>
      </>}</Answer>
    </>
  );
}

type Measured = Omit<Edge, "from" | "to">;
const measured = (metrics: Schemas["EdgeMeasures"]): Measured => ({ ...metrics, avgWait: metrics.wait.avgLatency ?? null });

function EdgeFigures({ now, then, source }: { now: Measured; then: Measured | undefined; source: string }) {
  const { panel } = words;
  const level = { "": "", some: "warn", many: "bad" }[trouble(now.errorRate, useSettings())];
  const against = (of: (each: Measured) => number | null | undefined) => change(of(now) ?? null, then === undefined ? null : of(then) ?? null);
  const figures: Figure[] = [
    { name: panel.calls, value: exact(now.callCount), id: "calls", change: against((each) => each.callCount) },
    { name: panel.rate, value: rate(now.rate) },
    { name: panel.errorShare, value: percent(now.errorRate), level, change: against((each) => each.errorRate) },
    { name: "p50", value: latency(now.p50Latency), change: against((each) => each.p50Latency) },
    { name: "p95", value: latency(now.p95Latency), id: "p95", change: against((each) => each.p95Latency) },
    { name: "p99", value: latency(now.p99Latency), change: against((each) => each.p99Latency) },
    { name: panel.retries, value: exact(now.retryCount) },
    { name: panel.rejected, value: exact(now.rejected) },
    { name: panel.timeouts, value: exact(now.timeouts) },
    ...(now.avgWait === null ? [] : [{ name: panel.wait, value: latency(now.avgWait) }]),
    { name: panel.confidence, value: percent(now.confidence) },
  ];
  return <><Figures of={figures} source={source} />{now.latencySide && <p className="small muted">{panel.measuredBy(now.latencySide)}</p>}</>;
}
