// Names of things as people read them.

import type { Node } from "../api/client";
import { words } from "../words";

export const operationName = (name: string) => (name === "unknown" ? words.filters.unnamed : name);

/** Where a service lives, to tell it from others of its name. */
export const whereabouts = ({ cluster, namespace }: { cluster: string; namespace: string }) => [cluster, namespace].filter((part) => part !== "").join("/");

/** Names that several nodes have. */
export function sharedNames(nodes: Iterable<Node>): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { service: { name } } of nodes) (seen.has(name) ? shared : seen).add(name);
  return shared;
}

/** A short name and what stands above it: "postgresql:db/users" is "db/users" under a small "postgresql". */
export function titled({ id, kind, service }: Node, isShared: boolean): { name: string; above: string } {
  const [system = "", ...rest] = service.name.split(":");
  const isSystem = !["service", "namespace", "cluster"].includes(kind) && rest.length > 0 && !/^\d+$/.test(rest[0] ?? "");
  if (isSystem) return { above: system, name: rest.join(":") };
  return { above: isShared ? whereabouts(service) : kind === "service" ? service.namespace : "", name: service.name || shortId(id) };
}

/** The last part of an id, for places where nothing else is known of a node. */
export const shortId = (id: string) => decode(id.slice(id.lastIndexOf("/") + 1)) || id;

function decode(text: string) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // Somebody's name may look like an escape.
  }
}

/** Names of nodes by id, as told apart as they have to be. */
export function namer(nodes: ReadonlyMap<string, Node>): (id: string) => string {
  const shared = sharedNames(nodes.values());
  return (id) => {
    const service = nodes.get(id)?.service;
    if (service === undefined || service.name === "") return shortId(id);
    const where = shared.has(service.name) ? whereabouts(service) : "";
    return where === "" ? service.name : `${service.name} (${where})`;
  };
}
