import type { ReactNode } from "react";
import { api, type Edge, type Node, type Schemas } from "../api/client";
import { address } from "../api/how";
import { Heatmap } from "../charts/Heatmap";
import { namer, plain, shortId, whereabouts } from "../format/names";
import { change, exact, latency, percent, rate, trouble } from "../format/numbers";
import { useLook } from "../look";
import { enterNode, useMapChoice } from "../map/choice";
import { useGroup, useMapGraph } from "../map/useMapGraph";
import { How } from "../parts/How";
import { sourceOf, useSource } from "../parts/source";
import { Answer } from "../parts/States";
import { filled, useSettings } from "../settings";
import { A } from "../url/A";
import { set, toView, useAddress } from "../url/address";
import { timeWords } from "../shell/TimeMenu";
import { askAgainMs, given, timeQuery } from "../url/filters";
import { Unused } from "../views/Unused";
import { words } from "../words";
import { ServiceFlows } from "./Flows";
import { Endpoints, Neighbours, Pods } from "./NodeParts";
import { Figures, Panel, Section } from "./Panel";
import { Series, whole } from "./Series";
import { before } from "./windows";

interface Props {
  node: Node;
  nodes: ReadonlyMap<string, Node>;
  edges: ReadonlyMap<string, Edge>;
  onClose: () => void;
}

export function NodePanel({ node, nodes, edges, onClose }: Props) {
  const { kind, service, joined, status } = node;
  const { query } = useAddress();
  const { logsLink } = useSettings();
  const { graph: { window } } = useLook();
  const name = namer(nodes);
  const map = useMapGraph(useGroup(useMapChoice()));
  const ofMap = <How url={map.how} />;
  const source = useSource(map.how);
  const logs = filled(logsLink, { service: service.name, namespace: service.namespace, from: String((window?.from ?? 0) / 1000), to: String((window?.to ?? 0) / 1000) });
  return (
    <Panel kind={kind} onClose={onClose} title={service.name || name(node.id)}
      about={<p className="small muted">{[words.map.kinds[kind], whereabouts(service), service.versions.length > 0 ? words.panel.ofVersion(plain(service.versions.join(", "))) : ""].filter((part) => part).join(" · ")} · <span className={{ healthy: "", degraded: "warn", down: "bad" }[status]}>{words.map.statuses[status]}</span>
        {joined.length > 0 && <><br />{words.panel.alsoCalled} {joined.map((id) => name(id)).join(", ")}</>}</p>}
      actions={<>
        {kind === "namespace" && <button type="button" onClick={() => enterNode(node.id)}>{words.map.openGroup}</button>}
        <button type="button" onClick={() => set({ focus: node.id })}>{words.panel.focus}</button>
        {kind === "service" && <A className="button" href={toView("/errors", query, { service: service.name })}>{words.panel.openErrors}</A>}
        {logs && <a className="button" href={logs} target="_blank" rel="noreferrer">{words.panel.logs}</a>}
      </>}>
      {kind === "service" ? <Service node={node} nodes={nodes} /> : <Silent node={node} how={ofMap} source={source} />}
      <Section title={words.panel.callers} how={ofMap}><Neighbours edges={[...edges.values()].filter(({ to }) => to === node.id)} end="from" name={name} source={source} /></Section>
      <Section title={words.panel.callees} how={ofMap}><Neighbours edges={[...edges.values()].filter(({ from }) => from === node.id)} end="to" name={name} source={source} /></Section>
    </Panel>
  );
}

/** What sends no spans of its own is known by the calls to it. */
function Silent({ node: { metrics, kind }, how, source }: { node: Node; how: ReactNode; source: string }) {
  return (
    <Section title={words.panel.requests} how={how}>
      <Figures source={source} of={figures(metrics, undefined, "")} />
      {!["client", "user", "namespace", "cluster"].includes(kind) && <p className="small muted">{words.panel.unknownSeries}</p>}
    </Section>
  );
}

/** "" unless the node is one version of a service. */
export const versionOf = ({ id, service: { name, version } }: Node) => (version !== "" && shortId(id) === `${name}@${version.replaceAll("@", "%40")}` ? version : "");

const PLACE = ["namespace", "cluster"] as const;

/** What questions can't tell the node apart by from others of its name: where it says nothing of itself. */
function mixed({ service }: Node, nodes: ReadonlyMap<string, Node>) {
  const asked = PLACE.filter((by) => service[by] !== "");
  const isMeant = (each: Node) => each.kind === "service" && each.service.name === service.name && asked.every((by) => each.service[by] === service[by]);
  return PLACE.filter((by) => [...nodes.values()].some((each) => isMeant(each) && each.service[by] !== service[by]));
}

function Service({ node, nodes }: { node: Node; nodes: ReadonlyMap<string, Node> }) {
  const { service: { name, namespace, cluster } } = node;
  const { filters: { operation, environment, probes, time }, graph: { window } } = useLook();
  const version = versionOf(node);
  const also = mixed(node, nodes);
  const noVersion = version === "" ? [] : ["version" as const];
  const steps = useSettings();
  const path = { name };
  const shared = given({ namespace, cluster, environment });
  const query = { ...shared, ...timeQuery(time) };
  const versionQuery = { ...query, ...given({ version }) };
  const statsQuery = { ...versionQuery, ...given({ operation, probes }) };
  const again = { refetchInterval: askAgainMs(time), placeholderData: <T,>(last: T) => last };
  const stats = api.useQuery("get", "/api/v1/services/{name}/stats", { params: { path, query: statsQuery } }, again);
  const earlierQuery = { ...shared, ...given({ operation, version, probes }), ...before(time, (window?.to ?? 0) / 1000) };
  const earlier = api.useQuery("get", "/api/v1/services/{name}/stats", { params: { path, query: earlierQuery } },
    { enabled: window !== null, staleTime: Infinity, retry: false, placeholderData: <T,>(last: T) => last });
  const heatQuery = { service: name, ...query, ...given({ operation, probes }) };
  const heat = api.useQuery("get", "/api/v1/heatmap", { params: { query: heatQuery } }, again);
  const endpoints = api.useQuery("get", "/api/v1/services/{name}/endpoints", { params: { path, query: versionQuery } }, again);
  const details = api.useQuery("get", "/api/v1/services/{name}", { params: { path, query } }, again);
  // Neither endpoints nor pods are known by operation.
  const withProbes = !probes && <p className="small muted">{words.panel.withProbes}</p>;
  const when = timeWords(time);
  const url = (end: string, asked: Parameters<typeof address>[1]) => address(`/api/v1/services/${encodeURIComponent(name)}${end}`, asked);
  return (
    <>
      <Answer of={stats}>{(answer) => <>
        <Section title={when} how={<How url={url("/stats", statsQuery)} also={[{ title: words.how.before, url: url("/stats", earlierQuery) }]} />}>
          <Figures source={sourceOf(when, url("/stats", {}))} of={figures(answer.metrics, earlier.data?.metrics, { "": "", some: "warn", many: "bad" }[trouble(answer.metrics.errorRate, steps)])} />
          <Unused also={also} />
        </Section>
        <Section title={words.panel.overTime} how={<How url={url("/stats", statsQuery)} />}><Series of={whole(answer)} exemplars={version === "" ? answer.exemplars : []} source={sourceOf(when, url("/stats", {}))} /></Section>
      </>}</Answer>
      <Section title={words.panel.heatmap} how={<How url={address("/api/v1/heatmap", heatQuery)} />}><Unused also={[...also, ...noVersion]} /><Answer of={heat}>{(map) => <Heatmap of={map} source={sourceOf(when, address("/api/v1/heatmap"))} />}</Answer></Section>
      <Section title={words.panel.endpoints} how={<How url={url("/endpoints", versionQuery)} />}><Unused of={["operation"]} also={also} />{withProbes}<Answer of={endpoints}>{(answer) => <Endpoints of={answer.endpoints} source={sourceOf(when, url("/endpoints", {}))} />}</Answer></Section>
      <ServiceFlows of={node.service}><Unused also={[...also, ...noVersion]} /></ServiceFlows>
      <Section title={words.panel.pods} how={<How url={url("", query)} />}><Unused of={["operation"]} also={also} />{withProbes}<Answer of={details}>{(answer) => <Pods of={answer.service} version={version} source={sourceOf(when, url("", {}))} />}</Answer></Section>
    </>
  );
}

function figures(now: Schemas["NodeMetrics"], then: Schemas["NodeMetrics"] | undefined, level: string) {
  const { panel } = words;
  const against = (of: (each: Schemas["NodeMetrics"]) => number | null | undefined) => change(of(now) ?? null, then === undefined ? null : of(then) ?? null);
  return [
    { name: panel.requests, value: exact(now.requestCount), id: "requests", change: against((each) => each.requestCount) },
    { name: panel.rate, value: rate(now.rate) },
    { name: panel.errorShare, value: percent(now.errorRate), level, change: against((each) => each.errorRate) },
    { name: "p50", value: latency(now.p50Latency), change: against((each) => each.p50Latency) },
    { name: "p95", value: latency(now.p95Latency), id: "p95", change: against((each) => each.p95Latency) },
    { name: "p99", value: latency(now.p99Latency), change: against((each) => each.p99Latency) },
    { name: panel.selfTime, value: latency(now.avgSelfTime), change: against((each) => each.avgSelfTime) },
  ];
}
