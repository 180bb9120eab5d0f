import { api } from "../../api/client";
import { useLook } from "../../look";
import { askAgainMs, given, timeQuery } from "../../url/filters";

/** How long flows of the operation took, or requests of the service, all of them or those of the operation. */
export function useHeat() {
  const { filters: { operation, environment, service, namespace, cluster, probes, time } } = useLook();
  const isAsked = operation !== "" || service !== "";
  const of = service !== "" ? { service, ...given({ operation, namespace, cluster }) } : { operation };
  const query = { ...of, ...given({ environment, probes }), ...timeQuery(time) };
  const heat = api.useQuery("get", "/api/v1/heatmap", { params: { query } }, { enabled: isAsked, refetchInterval: askAgainMs(time), placeholderData: (before) => before });
  return { heat, query, isAsked };
}
