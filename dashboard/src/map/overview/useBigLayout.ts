import { useMemo, useState } from "react";
import type { Edge, Node } from "../../api/client";
import { NO_PLACES, extended, type BigLayout } from "./place";

interface Memory {
  structure: string;
  layout: BigLayout;
}

/** Places that stay. */
export function useBigLayout(nodes: Map<string, Node>, edges: Map<string, Edge>): BigLayout {
  const [memory, remember] = useState<Memory>({ structure: "", layout: NO_PLACES });
  // Numbers change four times a second, who calls whom hardly ever.
  const structure = useMemo(() => [...nodes.keys()].sort().join("\n"), [nodes]);
  const next = useMemo(() => {
    if (memory.structure === structure) return memory;
    const laid = [...nodes.values()].map(({ id, kind, service }) => ({ id, isClient: kind === "client" || kind === "user", group: kind === "service" ? `${service.cluster}/${service.namespace}` : kind }));
    const lines = [...edges].map(([key, { from, to }]) => ({ key, from, to }));
    return { structure, layout: extended(memory.layout, laid, lines) };
    // Edges come and go without moving anything.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [memory, structure]);
  if (next !== memory) remember(next);
  return next.layout;
}
