import { useMemo } from "react";
import { api, type Schemas } from "../api/client";
import { address } from "../api/how";
import { Sparkline } from "../charts/Sparkline";
import { digits, asPercent } from "../format/cells";
import { operationName } from "../format/names";
import { exact, number, trouble } from "../format/numbers";
import { ago, clock, moment } from "../format/time";
import { useLook } from "../look";
import { How } from "../parts/How";
import { useSource } from "../parts/source";
import { Answer } from "../parts/States";
import { Table, type Column } from "../parts/Table";
import { useSettings } from "../settings";
import { go, toView, useAddress } from "../url/address";
import { EVERYWHERE, askAgainMs, given, timeQuery } from "../url/filters";
import { words } from "../words";
import { Unused } from "./Unused";

type Operation = Schemas["OperationAnswer"];

export function OperationsView() {
  const { filters: { operation, environment, probes, time } } = useLook();
  const query = { ...given({ operation, environment, probes }), ...timeQuery(time) };
  const operations = api.useQuery("get", "/api/v1/operations", { params: { query } }, { refetchInterval: askAgainMs(time), placeholderData: (before) => before });
  const [first] = operations.data?.operations ?? [];
  const trend = address(`/api/v1/operations/${encodeURIComponent(first?.name ?? operation)}/stats`, { ...given({ environment: first?.environment ?? environment }), ...timeQuery(time) });
  const url = address("/api/v1/operations", query);
  return (
    <section className="card">
      <div className="card-head"><h1>{words.operations.title}</h1><Unused of={["service", "namespace", "cluster", "status"]} /><span className="push" /><How url={url} also={[{ title: words.how.trends, url: trend }]} /></div>
      <Answer of={operations}>{(answer) => <List of={answer} url={url} />}</Answer>
    </section>
  );
}

function List({ of: { operations, window }, url }: { of: Schemas["OperationsAnswer"]; url: string }) {
  const steps = useSettings();
  const { isLive, filters: { environment } } = useLook();
  const { query } = useAddress();
  const columns = useMemo<Column<Operation>[]>(() => {
    const { operations: text } = words;
    const ms = (id: string, title: string, value: (row: Operation) => number | null | undefined): Column<Operation> => ({ id, title, value, show: (row) => digits(value(row)) });
    return [
      { id: "name", title: text.name, value: (row) => operationName(row.name), isFirstUp: true, show: (row) => <><b>{operationName(row.name)}</b>{row.probe && <span className="muted"> {text.probe}</span>}</> },
      ...(environment === "" ? [{ id: "environment", title: text.environment, value: (row: Operation) => row.environment, isFirstUp: true }] : []),
      { id: "count", title: text.count, value: (row) => row.count, show: (row) => exact(row.count) },
      { id: "rate", title: text.rate, value: (row) => row.rate, show: (row) => number(row.rate) },
      { id: "errors", title: text.errors, value: (row) => row.errorRate, show: (row) => asPercent(row.errorRate), level: (row) => ({ "": "", some: "warn", many: "bad" })[trouble(row.errorRate, steps)] },
      ms("average", text.average, (row) => row.avgLatency),
      ms("p50", text.p50, (row) => row.p50Latency), ms("p95", text.p95, (row) => row.p95Latency), ms("p99", text.p99, (row) => row.p99Latency),
      { id: "trend", title: text.trend, value: () => "", isFixed: true, show: (row) => <Trend of={row} /> },
      { id: "lastSeen", title: text.lastSeen, value: (row) => row.lastSeen, show: (row) => <span title={moment(row.lastSeen)}>{isLive ? ago(row.lastSeen, window.to / 1000) : clock(row.lastSeen)}</span> },
    ];
  }, [steps, isLive, environment, window.to]);
  return (
    <Table caption={words.operations.title} rows={operations} columns={columns} keyOf={(row) => `${row.environment}\n${row.name}`} sortBy="count" source={useSource(url)}
      text={(row) => `${operationName(row.name)} ${row.environment}`} none={words.operations.none}
      onRow={(row) => go(toView("/", query, { operation: row.name, environment: row.environment === "" ? EVERYWHERE : row.environment }))} />
  );
}

/** Only rows in sight ask for theirs. */
function Trend({ of: { name, environment } }: { of: Operation }) {
  const { filters: { time } } = useLook();
  const again = askAgainMs(time);
  const stats = api.useQuery("get", "/api/v1/operations/{name}/stats", { params: { path: { name }, query: { ...given({ environment }), ...timeQuery(time) } } },
    { staleTime: 30_000, refetchInterval: again === false ? false : 30_000, placeholderData: (before) => before });
  // The step that is still running would look like a fall.
  return <Sparkline values={(stats.data?.series ?? []).slice(0, -1).map(({ rate }) => rate)} />;
}
