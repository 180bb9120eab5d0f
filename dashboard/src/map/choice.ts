// What of the map can be chosen, from the address.

import { edgeOf } from "../live/state";
import { set, useAddress } from "../url/address";
import { LABELS, type Label } from "./figures";

export const AS = ["map", "table", "tree"] as const;
export const GROUPS = ["none", "namespace", "cluster", "version"] as const;
export type Group = (typeof GROUPS)[number];
/** How badly a node has to do to be shown with its calls; "" is all of them. */
export const ONLY = ["", "degraded", "down"] as const;
export const MOST_HOPS = 4;

export interface MapChoice {
  as: (typeof AS)[number];
  label: Label;
  /** null where none is chosen: large graphs are then shown by namespace. */
  group: Group | null;
  focus: string;
  hops: number;
  only: (typeof ONLY)[number];
  withRare: boolean;
  /** Expressions, as they are written. */
  find: string;
  hide: string;
  /** Id of the node whose panel is open, or "". */
  node: string;
  edge: { from: string; to: string } | null;
}

export function useMapChoice(): MapChoice {
  const { query } = useAddress();
  const one = <T extends string>(name: string, of: readonly T[], otherwise: T) => of.find((each) => each === query.get(name)) ?? otherwise;
  const [from, to] = [query.get("from"), query.get("to")];
  return {
    as: one("as", AS, "map"),
    label: one("labels", LABELS, "all"),
    group: GROUPS.find((each) => each === query.get("group")) ?? null,
    focus: query.get("focus") ?? "",
    hops: Math.min(MOST_HOPS, Math.max(1, Number(query.get("hops") ?? 1) || 1)),
    only: one("only", ONLY, ""),
    withRare: query.get("rare") === "true",
    find: query.get("find") ?? "",
    hide: query.get("hide") ?? "",
    node: query.get("node") ?? "",
    edge: from !== null && to !== null ? { from, to } : null,
  };
}

export const openNode = (node: string) => ({ node, from: null, to: null });
export const openEdge = ({ from, to }: { from: string; to: string }) => ({ node: null, from, to });
export const CLOSED = { node: null, from: null, to: null };

/** From one panel to the next: the back button leads past the first. */
function pick(panel: Record<string, string | null>) {
  const query = new URLSearchParams(location.search);
  set(panel, { replace: query.has("node") || query.has("from") });
}

export const pickNode = (id: string) => pick(openNode(id));
export const pickEdge = (key: string) => pick(openEdge(edgeOf(key)));

/** What leads into the box of a namespace; null where the node is none. Parts of ids are encoded. */
export function inside(id: string) {
  const [, cluster = "", namespace] = /^namespace:(?:(.*)\/\/)?(.*)$/.exec(id) ?? [];
  if (namespace === undefined) return null;
  return { ...CLOSED, namespace: decodeURIComponent(namespace), cluster: decodeURIComponent(cluster), group: null };
}

export const OUTSIDE = { ...CLOSED, namespace: null, cluster: null };

/** Boxes that stand for too many services are there to be opened; what else there is has its panel. */
export function enterNode(id: string) {
  const box = inside(id);
  if (box === null) { pickNode(id); return; }
  set(box);
  // The box is gone, and the focus with it: what leads back takes it.
  requestAnimationFrame(() => document.querySelector<HTMLElement>("[data-escape]")?.focus({ preventScroll: true }));
}
