import { useMemo, useState } from "react";
import type { Edge, Node } from "../../api/client";
import { NO_PLACES, extended, place, type BigLayout } from "./place";

interface Memory {
  of: string;
  structure: string;
  layout: BigLayout;
}

/** Places that stay as long as the same is looked at. */
export function useBigLayout(nodes: Map<string, Node>, edges: Map<string, Edge>, of: string): BigLayout {
  const [memory, remember] = useState<Memory>({ of: "", structure: "", layout: NO_PLACES });
  // Numbers change four times a second, who calls whom hardly ever.
  const structure = useMemo(() => [...nodes.keys()].sort().join("\n"), [nodes]);
  const next = useMemo(() => {
    if (memory.of === of && memory.structure === structure) return memory;
    const laid = [...nodes.values()].map(({ id, kind, service }) => ({ id, isClient: kind === "client" || kind === "user", group: kind === "service" ? `${service.cluster}/${service.namespace}` : kind }));
    const lines = [...edges].map(([key, { from, to }]) => ({ key, from, to }));
    return { of, structure, layout: memory.of === of ? extended(memory.layout, laid, lines) : place(laid, lines) };
    // Edges come and go without moving anything.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [memory, structure, of]);
  if (next !== memory) remember(next);
  return next.layout;
}
