import { useState, type ReactNode } from "react";
import { api, type Schemas } from "../api/client";
import { address } from "../api/how";
import { useMaySeeFlows } from "../api/me";
import type { paths } from "../api/schema";
import { operationName } from "../format/names";
import { duration } from "../format/numbers";
import { clock } from "../format/time";
import { useLook } from "../look";
import { How } from "../parts/How";
import { Answer, Loading } from "../parts/States";
import { StatusMark } from "../parts/StatusMark";
import { A } from "../url/A";
import { toView, useAddress } from "../url/address";
import { askAgainMs, given, timeQuery, type Filters } from "../url/filters";
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
export function ServiceFlows({ service, children }: { service: string; children: ReactNode }) {
  const { filters } = useLook();
  const [kind, choose] = useState<(typeof KINDS)[number]>("slowest");
  const [first, second] = questions(filters, service, kind);
  const calls = [first, second].flatMap((query) => (query ? [address("/api/v1/flows", query)] : []));
  return (
    <Section title={words.panel.flows} how={<How url={calls[0] ?? ""} also={calls.slice(1).map((url) => ({ url }))} />}>
      {children}
      <Kinds kind={kind} choose={choose}>{second ? <Both of={[first, second]} /> : <One key={kind} of={first} />}</Kinds>
    </Section>
  );
}

type Query = NonNullable<paths["/api/v1/flows"]["get"]["parameters"]["query"]>;

/** Two for those that failed: a status is exactly one, and what timed out has failed too. */
function questions({ operation, environment, status, time, probes }: Filters, service: string, kind: (typeof KINDS)[number]): [Query, Query?] {
  const of = (more: Query): Query => ({ service, ...given({ operation, environment, probes, status }), ...timeQuery(time), pageSize: SHOWN, ...more });
  if (kind === "failed") return [of({ sort: "-startTime", status: "error" }), of({ sort: "-startTime", status: "timeout" })];
  return [of({ sort: kind === "slowest" ? "-duration" : "-startTime" })];
}

function useFlows(query: Query) {
  const { filters: { time } } = useLook();
  return api.useQuery("get", "/api/v1/flows", { params: { query } }, { enabled: useMaySeeFlows() === true, refetchInterval: askAgainMs(time), placeholderData: (before) => before });
}

function One({ of }: { of: Query }) {
  return <Answer of={useFlows(of)}>{({ flows }) => <FlowList rows={flows.map(rowOf)} />}</Answer>;
}

function Both({ of: [first, second] }: { of: [Query, Query] }) {
  const [some, others] = [useFlows(first), useFlows(second)];
  return <Answer of={some}>{({ flows }) => <Answer of={others}>{(more) => <FlowList rows={newestOf(flows, more.flows).map(rowOf)} />}</Answer>}</Answer>;
}

type Flow = Schemas["FlowListed"];
const rowOf = (flow: Flow): FlowRow => ({ ...flow, id: flow.flowId, operation: flow.operationName, time: flow.startTime });

/** Those of both lists that began last. */
export const newestOf = (some: Flow[], more: Flow[]) => [...some, ...more].sort((a, b) => b.startTime - a.startTime).slice(0, SHOWN);

/** Executions that the edge's numbers came from. */
export function ExemplarFlows({ exemplars }: { exemplars: Schemas["Exemplar"][] }) {
  const [kind, choose] = useState<(typeof KINDS)[number]>("slowest");
  const order = { slowest: (a: Schemas["Exemplar"], b: Schemas["Exemplar"]) => b.latency - a.latency, failed: newest, recent: newest }[kind];
  const rows = exemplars.filter((each) => kind !== "failed" || each.errors > 0).sort(order).slice(0, SHOWN);
  return (
    <Kinds kind={kind} choose={choose}>
      <FlowList rows={rows.map((each) => ({ id: each.traceId, operation: each.operationName, time: each.time, duration: each.latency * 1000, status: each.errors > 0 ? "error" : "success" }))} />
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

export function FlowList({ rows }: { rows: FlowRow[] }) {
  const { query } = useAddress();
  if (rows.length === 0) return <p className="muted">{words.panel.noFlows}</p>;
  return (
    <ul className="plain flow-list">
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
