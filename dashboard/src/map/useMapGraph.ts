import { useMemo } from "react";
import { api } from "../api/client";
import { address } from "../api/how";
import { EMPTY } from "../live/state";
import { during, graphQuery, ofAnswer, useLook, type Look, type Past } from "../look";
import { askAgainMs, type Filters } from "../url/filters";
import type { Group, MapChoice } from "./choice";

/** What becomes one box: what is chosen, or namespaces where the services are too many to be read. */
export function useGroup({ group, focus, only }: MapChoice): Group {
  const { isLarge, filters: { namespace } } = useLook();
  return group ?? (isLarge && [focus, only, namespace].every((each) => each === "") ? "namespace" : "none");
}

export type MapGraph = Pick<Look, "graph" | "error" | "again" | "how">;

/** The graph of the map: the common one, or one of groups, whose sums and percentiles only the server can work out. */
export function useMapGraph(group: Group): MapGraph {
  const { graph, error, again, how, filters, isReady } = useLook();
  const isGrouped = group !== "none";
  const wait = askAgainMs(filters.time);
  const grouped = useGrouped(filters, group, isGrouped && isReady, wait === false ? false : Math.min(wait, 2_000));
  return isGrouped ? { ...grouped, how: address("/api/v1/dependencies", groupQuery(filters, group)) } : { graph, error, again, how };
}

/** The same of all that is seen over a replay. */
export function useWhole(group: Group): Past {
  const { filters, replay, whole } = useLook();
  const isGrouped = group !== "none";
  const grouped = useGrouped(during(filters, replay), group, isGrouped && replay !== null, false);
  return isGrouped ? grouped : whole;
}

function useGrouped(filters: Filters, group: Group, enabled: boolean, refetchInterval: number | false): Past {
  const { data, error, refetch } = api.useQuery("get", "/api/v1/dependencies", { params: { query: groupQuery(filters, group) } }, { enabled, refetchInterval });
  const graph = useMemo(() => (data ? ofAnswer(data) : EMPTY), [data]);
  return { graph, error, again: () => void refetch() };
}

export const groupQuery = (filters: Filters, group: Group) => ({ ...graphQuery(filters), group: group === "none" ? "service" as const : group });
