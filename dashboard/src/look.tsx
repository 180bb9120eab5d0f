// What all views look at together: the filters, the graph of the chosen time, and how current it is.

import { createContext, use, useEffect, useMemo, useState, type ReactNode } from "react";
import { api, type Schemas } from "./api/client";
import { address } from "./api/how";
import type { Connection } from "./live/feed";
import { EMPTY, edgeKey, type GraphState } from "./live/state";
import { useFeed } from "./live/useFeed";
import { useIsLarge } from "./map/large";
import { read, type Replay } from "./map/replay";
import { set, useAddress } from "./url/address";
import { EVERYWHERE, askAgainMs, given, timeQuery, useFilters, type Filters } from "./url/filters";

export interface Look {
  filters: Filters;
  /** Whether it is known which environment is looked at. */
  isReady: boolean;
  /** Operations and environments of the last 15 minutes; undefined until they are known. */
  known: Schemas["OperationsAnswer"] | undefined;
  graph: GraphState;
  /** Whether it has more nodes than can be read one by one. */
  isLarge: boolean;
  connection: Connection;
  isLive: boolean;
  /** The replay that the time is a step of. */
  replay: Replay | null;
  /** All that is seen over it. */
  whole: Past;
  /** Why there is no graph of a past time. */
  error: unknown;
  again: () => void;
  /** The question that gives the graph. */
  how: string;
}

export type Past = Pick<Look, "graph" | "error" | "again">;

const Context = createContext<Look | null>(null);

export function useLook(): Look {
  const look = use(Context);
  if (look === null) throw new Error("useLook outside of Looking");
  return look;
}

const KNOWN_AGAIN_MS = 5_000;

export function Looking({ children }: { children: ReactNode }) {
  const known = api.useQuery("get", "/api/v1/operations", {}, { refetchInterval: KNOWN_AGAIN_MS });
  const isChosen = useAddress().query.has("environment");
  const busiest = useMemo(() => busiestEnvironment(known.data), [known.data]);
  // It stays what it was when the page was opened: the view must not jump when another one becomes busier.
  const first = useFirst(busiest);
  useEffect(() => {
    if (!isChosen && first !== null) set({ environment: first }, { replace: true });
  }, [isChosen, first]);
  const filters = useFilters(first ?? "");
  const isReady = isChosen || !known.isPending;
  const look = useGraph(filters, isReady);
  const value = useMemo(() => ({ ...look, filters, isReady, known: known.data }), [look, filters, isReady, known.data]);
  return <Context value={value}>{children}</Context>;
}

/** The first value that isn't null. */
function useFirst<T>(value: T | null): T | null {
  const [first, keep] = useState<T | null>(null);
  if (first === null && value !== null) keep(value);
  return first ?? value;
}

/** The environment with the most flows, all of them where flows name none, null while there are no flows; nobody's checks count. */
export function busiestEnvironment(known: Schemas["OperationsAnswer"] | undefined): string | null {
  const flows = new Map<string, number>();
  for (const { probe, environment, count } of known?.operations ?? []) {
    if (!probe) flows.set(environment, (flows.get(environment) ?? 0) + count);
  }
  const [busiest] = [...flows].filter(([name]) => name !== "").sort(([, a], [, b]) => b - a);
  return busiest?.[0] ?? (flows.size > 0 ? EVERYWHERE : null);
}

function useGraph(filters: Filters, isReady: boolean) {
  const { time } = filters;
  const isLive = time.kind === "live";
  const query = useMemo(() => graphQuery(filters), [filters]);
  const live = useFeed(isLive && isReady ? liveFilters(filters, time.window) : null);
  const past = usePast(query, !isLive && isReady, askAgainMs(time));
  const replay = useReplay(time);
  const whole = usePast(graphQuery(during(filters, replay)), replay !== null && isReady, false);
  const graph = isLive ? live.graph : past.graph;
  const isLarge = useIsLarge(Math.max(graph.nodes.size, whole.graph.nodes.size), JSON.stringify(during(filters, replay)));
  return useMemo(() => ({
    graph,
    isLarge,
    connection: isLive ? live.connection : OPEN,
    isLive,
    replay,
    whole,
    error: isLive ? null : past.error,
    again: past.again,
    how: address("/api/v1/graph", query),
  }), [isLive, graph, isLarge, live.connection, replay, whole, past, query]);
}

function usePast(query: ReturnType<typeof graphQuery>, enabled: boolean, refetchInterval: number | false): Past {
  const { data, error, refetch } = api.useQuery("get", "/api/v1/graph", { params: { query } }, { enabled, refetchInterval });
  const graph = useMemo(() => (data ? ofAnswer(data) : EMPTY), [data]);
  return useMemo(() => ({ graph, error, again: () => void refetch() }), [graph, error, refetch]);
}

function useReplay({ kind }: Filters["time"]): Replay | null {
  const text = useAddress().query.get("replay");
  const replay = useMemo(() => read(text), [text]);
  return kind === "between" ? replay : null;
}

/** What stays the same from step to step. */
export const during = (filters: Filters, replay: Replay | null): Filters => (replay === null ? filters : { ...filters, time: { kind: "between", ...replay } });

const OPEN: Connection = { state: "open" };

function liveFilters({ operation, environment, service, namespace, cluster, probes }: Filters, window: string) {
  return { ...given({ operation, environment, service, namespace, cluster }), window, probes, events: false };
}

export function graphQuery({ operation, environment, service, namespace, cluster, probes, time }: Filters) {
  return { ...given({ operation, environment, service, namespace, cluster, probes }), ...timeQuery(time) };
}

/** A graph of the past in the form of a live one. */
export function ofAnswer({ nodes, edges, totals, window, staleness }: Pick<Schemas["GraphAnswer"], "nodes" | "edges" | "totals" | "window" | "staleness">): GraphState {
  return {
    ...EMPTY, loaded: true, totals, window, staleness, asOf: window.to,
    nodes: new Map(nodes.map((node) => [node.id, node])),
    edges: new Map(edges.map((edge) => [edgeKey(edge), edge])),
  };
}
