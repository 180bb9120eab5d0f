import { useMemo } from "react";
import { api } from "../api/client";
import { address } from "../api/how";
import { EMPTY } from "../live/state";
import { graphQuery, ofAnswer, useLook, type Look } from "../look";
import { askAgainMs } from "../url/filters";
import type { Group, MapChoice } from "./choice";

/** What becomes one box: what is chosen, or namespaces where the services are too many to be read. */
export function useGroup({ group, focus, only }: MapChoice): Group {
  const { isLarge } = useLook();
  return group ?? (isLarge && focus === "" && only === "" ? "namespace" : "none");
}

export type MapGraph = Pick<Look, "graph" | "error" | "again" | "how">;

/** The graph of the map: the common one, or one of groups, whose sums and percentiles only the server can work out. */
export function useMapGraph(group: Group): MapGraph {
  const { graph, error, again, how, filters, isReady } = useLook();
  const isGrouped = group !== "none";
  const query = { ...graphQuery(filters), group: isGrouped ? group : "service" as const };
  const wait = askAgainMs(filters.time);
  const grouped = api.useQuery("get", "/api/v1/dependencies", { params: { query } },
    { enabled: isGrouped && isReady, refetchInterval: wait === false ? false : Math.min(wait, 2_000) });
  const ofGroups = useMemo(() => (grouped.data ? ofAnswer(grouped.data) : EMPTY), [grouped.data]);
  if (!isGrouped) return { graph, error, again, how };
  return { graph: ofGroups, error: grouped.error, again: () => void grouped.refetch(), how: address("/api/v1/dependencies", query) };
}
