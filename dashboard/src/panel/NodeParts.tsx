import type { Edge, Schemas } from "../api/client";
import { ago, clock } from "../format/time";
import { exact, latency, number, percent, rate, trouble } from "../format/numbers";
import { useLook } from "../look";
import { openEdge } from "../map/choice";
import { useSettings } from "../settings";
import { set } from "../url/address";
import { words } from "../words";

export function Neighbours({ edges, end, name, source }: { edges: Edge[]; end: "from" | "to"; name: (id: string) => string; source: string }) {
  const steps = useSettings();
  if (edges.length === 0) return <p className="muted">–</p>;
  return (
    <ul className="plain flow-list" title={source}>
      {[...edges].sort((a, b) => b.rate - a.rate).map((edge) => (
        <li key={edge[end]}>
          <button type="button" className="bare" onClick={() => set(openEdge(edge))}>
            <span className="grow">{name(edge[end])}</span>
            <span className="number muted">{rate(edge.rate)}</span>
            <span className={`number ${{ "": "muted", some: "warn", many: "bad" }[trouble(edge.errorRate, steps)]}`}>{percent(edge.errorRate)}</span>
            <b>{latency(edge.p95Latency)}</b>
          </button>
        </li>
      ))}
    </ul>
  );
}

export function Endpoints({ of, source }: { of: Schemas["Endpoint"][]; source: string }) {
  const steps = useSettings();
  if (of.length === 0) return <p className="muted">{words.panel.noEndpoints}</p>;
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={words.panel.endpoints}>
      <table className="simple" title={source}>
        <thead><tr><th scope="col">{words.panel.endpoint}</th>{[words.panel.requests, words.panel.errors, "p50", "p95", "p99"].map((name) => <th key={name} scope="col" className="number">{name}</th>)}</tr></thead>
        <tbody>{of.map((each) => (
          <tr key={each.name}>
            <td className="mono wrap">{each.name}</td><td className="number">{number(each.requestCount)}</td>
            <td className={`number ${{ "": "", some: "warn", many: "bad" }[trouble(each.errorRate, steps)]}`}>{percent(each.errorRate)}</td>
            <td className="number">{latency(each.p50Latency)}</td><td className="number">{latency(each.p95Latency)}</td><td className="number">{latency(each.p99Latency)}</td>
          </tr>
        ))}</tbody>
      </table>
    </div>
  );
}

/** All of them, or those of one version. */
export function Pods({ of, version, source }: { of: Schemas["ServiceDetails"]; version: string; source: string }) {
  const pods = (of.pods ?? []).filter((pod) => version === "" || pod.version === version);
  const { graph: { asOf }, isLive } = useLook();
  if (pods.length === 0) return <p className="muted">{of.podCount == null || version !== "" ? words.panel.noPods : exact(of.podCount)}</p>;
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={words.panel.pods}>
      <table className="simple" title={source}>
        <thead><tr>{[words.panel.pod, words.panel.version, words.panel.node_].map((name) => <th key={name} scope="col">{name}</th>)}
          <th scope="col" className="number">{words.panel.requests}</th><th scope="col" className="number">{words.panel.lastSeen}</th></tr></thead>
        <tbody>{pods.map((pod) => (
          <tr key={pod.name}><td className="wrap">{pod.name}</td><td>{pod.version}</td><td>{pod.node}</td><td className="number">{number(pod.requestCount)}</td><td className="number">{isLive ? ago(pod.lastSeen, asOf / 1000) : clock(pod.lastSeen)}</td></tr>
        ))}</tbody>
      </table>
    </div>
  );
}
