import { useState, type ReactNode } from "react";
import { api, type Node, type Schemas } from "../api/client";
import { address } from "../api/how";
import { useMaySeeFlows } from "../api/me";
import { operationName } from "../format/names";
import { duration } from "../format/numbers";
import { clock } from "../format/time";
import { useLook } from "../look";
import { How } from "../parts/How";
import { useSource } from "../parts/source";
import { Answer, Loading } from "../parts/States";
import { StatusMark } from "../parts/StatusMark";
import { A } from "../url/A";
import { toView, useAddress } from "../url/address";
import { FAILED, askAgainMs, given, timeQuery } from "../url/filters";
import { words } from "../words";
import { Section } from "./Panel";

export interface FlowRow {
  id: string;
  operation: string;
  time: number;
  duration: number;
  status: string;
}

const KINDS = ["slowest", "failed", "recent"] as const;
const SHOWN = 8;

/** Executions that went through a service: the slowest, the failed and the last ones. */
export function ServiceFlows({ of: { name, namespace, cluster }, children }: { of: Pick<Node["service"], "name" | "namespace" | "cluster">; children: ReactNode }) {
  const { filters } = useLook();
  const [kind, choose] = useState<(typeof KINDS)[number]>("slowest");
  const { operation, environment, status, time, probes } = filters;
  const query = {
    ...given({ operation, environment, probes, service: name, namespace, cluster, status: kind === "failed" ? FAILED : status }), ...timeQuery(time), pageSize: SHOWN,
    sort: kind === "slowest" ? "-duration" : "-startTime",
  };
  const url = address("/api/v1/flows", query);
  const source = useSource(url);
  const flows = api.useQuery("get", "/api/v1/flows", { params: { query } }, { enabled: useMaySeeFlows() === true, refetchInterval: askAgainMs(time), placeholderData: (before) => before });
  return (
    <Section title={words.panel.flows} how={<How url={url} />}>
      {children}
      <Kinds kind={kind} choose={choose}><Answer of={flows}>{(answer) => <FlowList source={source} rows={answer.flows.map((flow) => ({ ...flow, id: flow.flowId, operation: flow.operationName, time: flow.startTime }))} />}</Answer></Kinds>
    </Section>
  );
}

/** Executions that the edge's numbers came from. */
export function ExemplarFlows({ exemplars, source }: { exemplars: Schemas["Exemplar"][]; source: string }) {
  const [kind, choose] = useState<(typeof KINDS)[number]>("slowest");
  const order = { slowest: (a: Schemas["Exemplar"], b: Schemas["Exemplar"]) => b.latency - a.latency, failed: newest, recent: newest }[kind];
  const rows = exemplars.filter((each) => kind !== "failed" || each.errors > 0).sort(order).slice(0, SHOWN);
  return (
    <Kinds kind={kind} choose={choose}>
      <FlowList source={source} rows={rows.map((each) => ({ id: each.traceId, operation: each.operationName, time: each.time, duration: each.latency * 1000, status: each.errors > 0 ? "error" : "success" }))} />
    </Kinds>
  );
}

const newest = (a: Schemas["Exemplar"], b: Schemas["Exemplar"]) => b.time - a.time;

function Kinds({ kind, choose, children }: { kind: string; choose: (kind: (typeof KINDS)[number]) => void; children: ReactNode }) {
  const maySee = useMaySeeFlows();
  if (maySee === undefined) return <Loading />;
  if (!maySee) return <p className="muted">{words.panel.notAllowed}</p>;
  return (
    <div className="stack tight">
      <div className="segments small" role="group" aria-label={words.panel.flows}>
        {KINDS.map((each) => <button key={each} type="button" aria-pressed={each === kind} onClick={() => choose(each)}>{words.panel[each]}</button>)}
      </div>
      {children}
    </div>
  );
}

function FlowList({ rows, source }: { rows: FlowRow[]; source: string }) {
  const { query } = useAddress();
  if (rows.length === 0) return <p className="muted">{words.panel.noFlows}</p>;
  return (
    <ul className="plain flow-list" title={source}>
      {rows.map((flow) => (
        <li key={`${flow.id} ${flow.time}`}>
          <A href={toView(`/flows/${encodeURIComponent(flow.id)}`, query)}>
            <StatusMark status={flow.status} />
            <span className="grow">{operationName(flow.operation)}</span>
            <span className="muted">{clock(flow.time)}</span>
            <b>{duration(flow.duration)}</b>
          </A>
        </li>
      ))}
    </ul>
  );
}
