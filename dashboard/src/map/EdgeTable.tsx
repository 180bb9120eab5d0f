import { useMemo } from "react";
import type { Edge, Node } from "../api/client";
import { asPercent, digits } from "../format/cells";
import { namer } from "../format/names";
import { exact, number, trouble } from "../format/numbers";
import { edgeKey } from "../live/state";
import { Table, type Column } from "../parts/Table";
import { useSettings } from "../settings";
import { words } from "../words";

/** The map as a table: every call with all its numbers. */
export function EdgeTable({ nodes, edges, selected, source, onEdge }: {
  nodes: ReadonlyMap<string, Node>; edges: ReadonlyMap<string, Edge>; selected: string; source: string; onEdge: (key: string) => void;
}) {
  const steps = useSettings();
  const name = useMemo(() => namer(nodes), [nodes]);
  const columns = useMemo<Column<Edge>[]>(() => {
    const { table } = words;
    const ms = (id: string, title: string, value: (edge: Edge) => number | null | undefined): Column<Edge> => ({ id, title, value, show: (edge) => digits(value(edge)) });
    const count = (id: string, title: string, value: (edge: Edge) => number): Column<Edge> => ({ id, title, value, show: (edge) => exact(value(edge)) });
    return [
      { id: "from", title: table.from, value: (edge) => name(edge.from), isFirstUp: true },
      { id: "to", title: table.to, value: (edge) => name(edge.to), isFirstUp: true },
      { id: "rate", title: table.rate, value: (edge) => edge.rate, show: (edge) => number(edge.rate) },
      count("count", table.count, (edge) => edge.callCount),
      { id: "errors", title: table.errors, value: (edge) => edge.errorRate, show: (edge) => asPercent(edge.errorRate), level: (edge) => ({ "": "", some: "warn", many: "bad" })[trouble(edge.errorRate, steps)] },
      count("failed", table.errorCount, (edge) => edge.errorCount),
      count("retries", table.retries, (edge) => edge.retryCount),
      count("rejected", table.rejected, (edge) => edge.rejected),
      count("timeouts", table.timeouts, (edge) => edge.timeouts),
      ms("p50", table.p50, (edge) => edge.p50Latency),
      ms("p95", table.p95, (edge) => edge.p95Latency),
      ms("p99", table.p99, (edge) => edge.p99Latency),
      { id: "confidence", title: table.confidence, value: (edge) => edge.confidence, show: (edge) => (edge.confidence == null ? "–" : asPercent(edge.confidence)) },
    ];
  }, [name, steps]);
  const rows = useMemo(() => [...edges.values()], [edges]);
  return (
    <Table caption={words.table.calls} rows={rows} columns={columns} keyOf={edgeKey} sortBy="rate" source={source} onRow={(edge) => onEdge(edgeKey(edge))}
      isPicked={(edge) => edgeKey(edge) === selected} text={(edge) => `${name(edge.from)} ${name(edge.to)}`} />
  );
}
