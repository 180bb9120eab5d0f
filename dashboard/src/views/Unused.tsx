import { useLook } from "../look";
import type { Filters } from "../url/filters";
import { words } from "../words";

type Name = keyof typeof words.filters.names;

/** Names what is chosen but can't be asked for here: set filters among `of`, and `also` whatever they are. */
export function Unused({ of = [], also = [] }: { of?: Name[]; also?: Name[] }) {
  const { filters } = useLook();
  const names = unused(filters, of, also);
  return names.length > 0 && <p className="small muted">{words.filters.unused(names.map((name) => words.filters.names[name]).join(", "))}</p>;
}

export function unused(filters: Filters, of: Name[], also: Name[] = []): Name[] {
  const isSet = (name: Name) => name !== "version" && filters[name] !== "" && filters[name] !== false;
  return [...new Set([...of.filter(isSet), ...also])];
}
