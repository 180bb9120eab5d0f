// Which part of the graph is on the map: what is around the focus or in trouble, and not too rare to matter.

import type { Edge, Node } from "../api/client";
import type { GraphState } from "../live/state";
import type { MapChoice } from "./choice";

export interface Part {
  nodes: Map<string, Node>;
  edges: Map<string, Edge>;
  /** Calls left out because they are rare. */
  rare: number;
}

export type Choice = Pick<MapChoice, "focus" | "hops" | "only" | "withRare">;

/** `among`: what says how rare a call is; of a few seconds each would be frequent. */
export function part(graph: GraphState, { focus, hops, only, withRare }: Choice, among = graph): Part {
  let edges = [...graph.edges];
  const rare = withRare || focus !== "" ? [] : edges.filter(([key, edge]) => isRare(among.edges.get(key) ?? edge, among.totals?.flowCount ?? 0));
  const isLeftOut = new Set(rare.map(([key]) => key));
  edges = edges.filter(([key]) => !isLeftOut.has(key));
  if (only !== "") edges = edges.filter(([, { from, to }]) => [from, to].some((id) => isInTrouble(graph.nodes.get(id), only)));
  if (focus !== "") {
    const near = around(focus, edges.map(([, edge]) => edge), hops);
    edges = edges.filter(([, { from, to }]) => near.has(from) && near.has(to));
  }
  return { nodes: touched(graph, edges, focus, only), edges: new Map(edges), rare: rare.length };
}

function touched(graph: GraphState, edges: [string, Edge][], focus: string, only: Choice["only"]): Map<string, Node> {
  const ends = new Set(edges.flatMap(([, { from, to }]) => [from, to]));
  // A service that neither calls nor is called is still one.
  const calls = new Set([...graph.edges.values()].flatMap(({ from, to }) => [from, to]));
  const isAlone = (node: Node) => !calls.has(node.id) && focus === "" && (only === "" || isInTrouble(node, only));
  return new Map([...graph.nodes].filter(([id, node]) => ends.has(id) || id === focus || isAlone(node)));
}

/** By the server's rules, as the node's shape shows it. */
const isInTrouble = (node: Node | undefined, only: Choice["only"]) => node?.status === "down" || (only === "degraded" && node?.status === "degraded");

/** Fewer than one call in a hundred flows, and nothing wrong with them: mostly halves of calls whose other half is late. */
export const isRare = ({ callCount, errorCount, rejected, timeouts }: Edge, flowCount: number) =>
  callCount * 100 < flowCount && errorCount + rejected + timeouts === 0;

/** Those that calls lead to from the node, and those that calls lead from to it; each way goes on by itself. */
export function around(id: string, edges: Edge[], hops: number): Set<string> {
  const found = new Set([id]);
  for (const [here, there] of [["from", "to"], ["to", "from"]] as const) {
    let edge = new Set([id]);
    for (let hop = 0; hop < hops; hop += 1) {
      edge = new Set(edges.filter((each) => edge.has(each[here]) && each.from !== each.to).map((each) => each[there]));
      for (const next of edge) found.add(next);
    }
  }
  return found;
}
