import { useState } from "react";
import { api, type Node, type Schemas } from "../api/client";
import { address } from "../api/how";
import { Heatmap } from "../charts/Heatmap";
import { namer } from "../format/names";
import { change, exact, latency, percent, rate, trouble } from "../format/numbers";
import { useLook } from "../look";
import { set } from "../url/address";
import { openNode } from "../map/choice";
import { How } from "../parts/How";
import { Answer } from "../parts/States";
import { useSettings } from "../settings";
import { askAgainMs, given, timeQuery } from "../url/filters";
import { words } from "../words";
import { ExemplarFlows } from "./Flows";
import { Figures, Panel, Section, type Figure } from "./Panel";
import { Series, whole } from "./Series";
import { before } from "./windows";

export function EdgePanel({ from, to, nodes, onClose }: { from: string; to: string; nodes: ReadonlyMap<string, Node>; onClose: () => void }) {
  const { filters: { operation, environment, time } } = useLook();
  const [opened] = useState(() => Date.now());
  const name = namer(nodes);
  const shared = given({ operation, environment });
  const query = { ...shared, ...timeQuery(time) };
  const path = { from, to };
  const again = { refetchInterval: askAgainMs(time), placeholderData: <T,>(last: T) => last };
  const stats = api.useQuery("get", "/api/v1/edges/{from}/{to}/stats", { params: { path, query } }, again);
  const earlier = api.useQuery("get", "/api/v1/edges/{from}/{to}/stats", { params: { path, query: { ...shared, ...before(time, opened) } } }, { staleTime: Infinity });
  const heatQuery = { ...path, ...given({ environment }), ...timeQuery(time) };
  const heat = api.useQuery("get", "/api/v1/heatmap", { params: { query: heatQuery } }, again);
  const url = address(`/api/v1/edges/${encodeURIComponent(from)}/${encodeURIComponent(to)}/stats`, query);
  return (
    <Panel kind="edge" onClose={onClose} title={<>
      <button type="button" className="link" onClick={() => set(openNode(from))}>{name(from)}</button> → <button type="button" className="link" onClick={() => set(openNode(to))}>{name(to)}</button></>}>
      <Answer of={stats}>{(answer) => <>
        <Section title={words.panel.calls} how={<How url={url} />}><EdgeFigures now={answer.metrics} then={earlier.data?.metrics} /></Section>
        <Section title={words.panel.overTime}><Series of={whole(answer)} /></Section>
        {operation === "" && <Section title={words.panel.heatmap} how={<How url={address("/api/v1/heatmap", heatQuery)} />}><Answer of={heat}>{(map) => <Heatmap of={map} />}</Answer></Section>}
        <Section title={words.panel.flows}><ExemplarFlows exemplars={answer.exemplars} /></Section>
      </>}</Answer>
    </Panel>
  );
}

function EdgeFigures({ now, then }: { now: Schemas["EdgeMeasures"]; then: Schemas["EdgeMeasures"] | undefined }) {
  const { panel } = words;
  const level = { "": "", some: "warn", many: "bad" }[trouble(now.errorRate, useSettings())];
  const against = (of: (each: Schemas["EdgeMeasures"]) => number | null | undefined) => change(of(now) ?? null, then === undefined ? null : of(then) ?? null);
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
    { name: panel.wait, value: latency(now.wait.avgLatency) },
    { name: panel.confidence, value: percent(now.confidence) },
  ];
  return <><Figures of={figures} />{now.latencySide && <p className="small muted">{panel.measuredBy(now.latencySide)}</p>}</>;
}
