import { useMemo, useState } from "react";
import type { Edge, Node } from "../api/client";
import { extend } from "./layout/extend";
import { NOWHERE, layOut } from "./layout/layOut";
import type { Layout } from "./layout/shapes";

export interface Drawn {
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
  layout: Layout;
}

interface Memory extends Drawn {
  /** What is looked at: for something else the map is laid out anew. */
  of: string;
  structure: string;
}

/** Places that stay as long as the same is looked at. What is gone stays too, where it was: it is quiet. */
export function useLayout(nodes: Map<string, Node>, edges: Map<string, Edge>, of: string): Drawn {
  const [memory, remember] = useState<Memory>({ of, structure: "", nodes: new Map(), edges: new Map(), layout: NOWHERE });
  const next = useMemo(() => remembered(memory, nodes, edges, of), [memory, nodes, edges, of]);
  if (next.structure !== memory.structure || next.of !== memory.of) remember(next);
  return next;
}

export function remembered(memory: Memory, nodes: Map<string, Node>, edges: Map<string, Edge>, of: string): Memory {
  const isSame = memory.of === of;
  const allNodes = isSame ? new Map([...memory.nodes, ...nodes]) : nodes;
  const allEdges = isSame ? new Map([...memory.edges, ...edges]) : edges;
  const structure = JSON.stringify([[...allNodes.keys()].sort(), [...allEdges.keys()].sort()]);
  if (isSame && structure === memory.structure) return { ...memory, nodes: allNodes, edges: allEdges };
  const laid = [...allNodes.values()].map(({ id, kind }) => ({ id, isClient: kind === "client" || kind === "user" }));
  const lines = [...allEdges].map(([key, { from, to }]) => ({ key, from, to }));
  const layout = isSame && memory.layout.places.size > 0 ? extend(memory.layout, laid, lines) : layOut(laid, lines);
  return { of, structure, nodes: allNodes, edges: allEdges, layout };
}
