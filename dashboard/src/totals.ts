// The headline of what is looked at, live or past.

import { api } from "./api/client";
import { address } from "./api/how";
import { useLook } from "./look";
import { askAgainMs, given, timeQuery, type Filters } from "./url/filters";

export interface Headline {
  count: number;
  errors: number;
  timeouts: number;
  rate: number;
  average: number | null;
  /** null where flows of several operations would have to be taken together. */
  percentiles: { p50: number | null; p95: number | null; p99: number | null } | null;
  how: string;
}

/** undefined while it isn't known. */
export function useHeadline(): Headline | undefined {
  const { isLive, graph, filters } = useLook();
  const past = usePast(!isLive);
  if (!isLive) return past;
  const totals = graph.totals;
  if (totals === null) return undefined;
  const { flowCount, errorCount, timeouts, rate, avgLatency, p50Latency, p95Latency, p99Latency } = totals;
  return {
    count: flowCount, errors: errorCount, timeouts, rate, average: avgLatency ?? null,
    percentiles: { p50: p50Latency ?? null, p95: p95Latency ?? null, p99: p99Latency ?? null },
    how: question(filters),
  };
}

function usePast(enabled: boolean): Headline | undefined {
  const { filters } = useLook();
  const { operation, environment, probes, time } = filters;
  const again = { refetchInterval: askAgainMs(time) };
  const query = { ...given({ environment }), ...timeQuery(time) };
  const one = api.useQuery("get", "/api/v1/operations/{name}/stats", { params: { path: { name: operation }, query } },
    { ...again, enabled: enabled && operation !== "" });
  const allQuery = { ...query, ...given({ probes }) };
  const all = api.useQuery("get", "/api/v1/operations", { params: { query: allQuery } }, { ...again, enabled: enabled && operation === "" });
  if (operation !== "") {
    if (!one.data) return undefined;
    const { totalRequests, errorCount, timeouts, rate, avgLatency, p50Latency, p95Latency, p99Latency } = one.data.stats;
    return {
      count: totalRequests, errors: errorCount, timeouts, rate, average: avgLatency ?? null,
      percentiles: { p50: p50Latency ?? null, p95: p95Latency ?? null, p99: p99Latency ?? null },
      how: question(filters),
    };
  }
  return all.data && { ...added(all.data.operations), how: question(filters) };
}

/** The call that gives the headline. */
export function question({ operation, environment, probes, time }: Filters): string {
  const query = { ...given({ environment }), ...timeQuery(time) };
  if (operation === "") return address("/api/v1/operations", { ...query, ...given({ probes }) });
  return address(`/api/v1/operations/${encodeURIComponent(operation)}/stats`, query);
}

interface Part {
  count: number;
  errorCount: number;
  timeouts: number;
  rate: number;
  avgLatency?: number | null;
}

/** Counts and averages can be added up; percentiles can't. */
export function added(operations: Part[]): Omit<Headline, "how"> {
  const sum = (of: (part: Part) => number) => operations.reduce((total, part) => total + of(part), 0);
  const measured = operations.filter((part) => part.avgLatency !== null && part.avgLatency !== undefined);
  const weight = measured.reduce((total, part) => total + part.count, 0);
  const time = measured.reduce((total, part) => total + part.count * (part.avgLatency ?? 0), 0);
  return {
    count: sum((part) => part.count), errors: sum((part) => part.errorCount), timeouts: sum((part) => part.timeouts), rate: sum((part) => part.rate),
    average: weight === 0 ? null : time / weight, percentiles: null,
  };
}
