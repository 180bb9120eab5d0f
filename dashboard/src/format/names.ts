// Names of things as people read them.

import type { Node } from "../api/client";
import { words } from "../words";

/** Marks that turn the direction of text would turn the numbers of a sentence around as well. */
export const plain = (text: string) => text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

export const operationName = (name: string) => (name === "unknown" ? words.filters.unnamed : plain(name));

/** Where a service lives, to tell it from others of its name. */
export const whereabouts = ({ cluster, namespace }: { cluster: string; namespace: string }) => plain([cluster, namespace].filter((part) => part !== "").join("/"));

/** Names that several nodes have. */
export function sharedNames(nodes: Iterable<Node>): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { service: { name } } of nodes) (seen.has(name) ? shared : seen).add(name);
  return shared;
}

/** The system and its part: what follows a colon, unless that is a port. */
function parted(name: string): [string, string] {
  const [system = "", ...rest] = name.split(":");
  return rest.length > 0 && !/^\d+$/.test(rest[0] ?? "") ? [system, rest.join(":")] : ["", name];
}

/** The same of what is known by its id only. */
export function titledId(id: string): { name: string; above: string; kind: string } {
  const kind = KIND.exec(id)?.[1] ?? "service";
  const shown = plain(shortId(id));
  const [above, name] = kind === "service" ? ["", shown] : parted(shown);
  return { kind, above, name };
}

/** A short name and what stands above it: "postgresql:db/users" is "db/users" under a small "postgresql". */
export function titled({ id, kind, service }: Node, isShared: boolean): { name: string; above: string } {
  const [above, name] = ["service", "namespace", "cluster"].includes(kind) ? ["", ""] : parted(plain(service.name));
  return above !== "" ? { above, name } : { above: isShared ? whereabouts(service) : kind === "service" ? plain(service.namespace) : "", name: plain(service.name || shortId(id)) };
}

/** What has no spans of its own says in its id what it is. */
const KIND = /^(database|topic|external|client|user|unknown):/;

/** The last part of an id, for places where nothing else is known of a node. */
export const shortId = (id: string) => decode(id.replace(KIND, "").replace(/^.*\//, "")) || id;

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
    if (service === undefined || service.name === "") return plain(shortId(id));
    const where = shared.has(service.name) ? whereabouts(service) : "";
    return where === "" ? plain(service.name) : `${plain(service.name)} (${where})`;
  };
}
