// What an expression finds on a map, and what it takes away.

import type { Edge, Node } from "../api/client";
import type { Expression } from "./expression";

interface Graph {
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
}

/** Ids of nodes and keys of edges. */
export interface Found {
  nodes: Set<string>;
  edges: Set<string>;
  /** What isn't found, but belongs to it: nodes at the ends of calls, and calls between nodes. */
  near: Set<string>;
}

export function found({ nodes, edges }: Graph, { node, edge }: Expression): Found {
  const boxes = new Set([...nodes.values()].filter(node).map(({ id }) => id));
  const calls = new Set([...edges].filter(([, each]) => edge(each)).map(([key]) => key));
  const near = new Set<string>();
  for (const [key, { from, to }] of edges) {
    if (calls.has(key)) near.add(from).add(to);
    else if (boxes.has(from) && boxes.has(to)) near.add(key);
  }
  return { nodes: boxes, edges: calls, near };
}

/**
 * A call goes if the expression holds for it, or where it doesn't apply, with the box at one of its ends. A call for which it
 * doesn't hold stays, and keeps its ends: of `errors < 1%` the failing calls of a healthy service remain.
 */
export function without({ nodes, edges }: Graph, { node, edge }: Expression): Graph {
  const kept = new Set([...edges.values()].filter((each) => edge(each) === false).flatMap(({ from, to }) => [from, to]));
  const left = new Map([...nodes].filter(([id, each]) => node(each) !== true || kept.has(id)));
  const hasEnds = ({ from, to }: Edge) => left.has(from) && left.has(to);
  return { nodes: left, edges: new Map([...edges].filter(([, each]) => edge(each) !== true && hasEnds(each))) };
}
