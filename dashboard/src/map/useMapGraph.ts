import { useMemo } from "react";
import { api } from "../api/client";
import { EMPTY, type GraphState } from "../live/state";
import { graphQuery, ofAnswer, useLook } from "../look";
import { askAgainMs } from "../url/filters";
import type { MapChoice } from "./choice";

/** The graph of the map: the common one, or one of groups, whose sums and percentiles only the server can work out. */
export function useMapGraph(group: MapChoice["group"]): { graph: GraphState; error: unknown } {
  const { graph, error, filters } = useLook();
  const isGrouped = group !== "none";
  const query = { ...graphQuery(filters), group: isGrouped ? group : "service" as const, ...(filters.service === "" && filters.namespace === "" ? {} : { direction: "both" as const, depth: 1 }) };
  const again = askAgainMs(filters.time);
  const grouped = api.useQuery("get", "/api/v1/dependencies", { params: { query } },
    { enabled: isGrouped, refetchInterval: again === false ? false : Math.min(again, 2_000), placeholderData: (before) => before });
  const ofGroups = useMemo(() => (grouped.data ? ofAnswer(grouped.data) : EMPTY), [grouped.data]);
  return isGrouped ? { graph: { ...ofGroups, totals: graph.totals }, error: grouped.error } : { graph, error };
}
