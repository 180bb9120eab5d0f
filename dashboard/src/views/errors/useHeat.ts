import { api } from "../../api/client";
import { useLook } from "../../look";
import { askAgainMs, given, timeQuery } from "../../url/filters";

/** How long flows of the operation, or requests of the service, took; a heatmap is of one of these. */
export function useHeat() {
  const { filters: { operation, environment, service, namespace, time } } = useLook();
  const of = operation !== "" ? { operation } : service !== "" ? { service, ...given({ namespace }) } : null;
  const query = { ...of, ...given({ environment }), ...timeQuery(time) };
  const heat = api.useQuery("get", "/api/v1/heatmap", { params: { query } }, { enabled: of !== null, refetchInterval: askAgainMs(time), placeholderData: (before) => before });
  return { heat, query, isAsked: of !== null };
}
