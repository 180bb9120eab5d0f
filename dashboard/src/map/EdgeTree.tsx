import { useMemo, useState } from "react";
import type { Edge, Node } from "../api/client";
import { namer } from "../format/names";
import { trouble } from "../format/numbers";
import { edgeKey } from "../live/state";
import { words } from "../words";
import { useSettings } from "../settings";
import { callWords, nodeWords } from "./figures";

interface Props {
  nodes: ReadonlyMap<string, Node>;
  edges: ReadonlyMap<string, Edge>;
  source: string;
  onNode: (id: string) => void;
  onEdge: (key: string) => void;
}

/** Who calls whom, told line by line: for screen readers, and for everybody who likes to read. */
export function EdgeTree({ nodes, edges, source, onNode, onEdge }: Props) {
  const name = useMemo(() => namer(nodes), [nodes]);
  const calls = useMemo(() => grouped(edges), [edges]);
  const roots = useMemo(() => {
    const called = new Set([...edges.values()].filter(({ from, to }) => from !== to).map(({ to }) => to));
    const found = [...nodes.keys()].filter((id) => !called.has(id));
    return found.length > 0 ? found : [...nodes.keys()].slice(0, 1);
  }, [nodes, edges]);
  return (
    <ul className="tree plain" title={source} aria-label={words.table.tree}>
      {roots.map((id) => (
        <li key={id}>
          <button type="button" className="bare" onClick={() => onNode(id)}>{nodes.has(id) ? nodeWords(nodes.get(id) as Node) : name(id)}</button>
          <Calls of={id} above={[id]} calls={calls} name={name} onEdge={onEdge} />
        </li>
      ))}
    </ul>
  );
}

function Calls({ of, above, calls, name, onEdge }: {
  of: string; above: string[]; calls: Map<string, Edge[]>; name: (id: string) => string; onEdge: (key: string) => void;
}) {
  const here = calls.get(of) ?? [];
  if (here.length === 0) return null;
  return (
    <ul className="plain">
      {here.map((edge) => <Call key={edge.to} edge={edge} above={above} calls={calls} name={name} onEdge={onEdge} />)}
    </ul>
  );
}

/** Beyond this depth branches are opened by hand: shared services would stand there again and again. */
const OPEN_DEPTH = 3;

function Call({ edge, above, calls, name, onEdge }: {
  edge: Edge; above: string[]; calls: Map<string, Edge[]>; name: (id: string) => string; onEdge: (key: string) => void;
}) {
  const [isOpen, open] = useState(above.length < OPEN_DEPTH);
  const level = trouble(edge.errorRate, useSettings());
  const goesOn = !above.includes(edge.to) && (calls.get(edge.to)?.length ?? 0) > 0;
  return (
    <li>
      {goesOn && <button type="button" className="bare fold" aria-expanded={isOpen} aria-label={name(edge.to)} onClick={() => open(!isOpen)}>{isOpen ? "▾" : "▸"}</button>}
      <button type="button" className="bare" onClick={() => onEdge(edgeKey(edge))}>
        <span className="unseen">{words.map.callOf(name(edge.from))} </span><b>{name(edge.to)}</b> <span className={{ "": "muted", some: "warn", many: "bad" }[level]}>{callWords(edge)}</span>
      </button>
      {goesOn && isOpen && <Calls of={edge.to} above={[...above, edge.to]} calls={calls} name={name} onEdge={onEdge} />}
    </li>
  );
}

function grouped(edges: ReadonlyMap<string, Edge>): Map<string, Edge[]> {
  const calls = new Map<string, Edge[]>();
  for (const edge of edges.values()) calls.set(edge.from, [...(calls.get(edge.from) ?? []), edge]);
  for (const list of calls.values()) list.sort((a, b) => b.rate - a.rate);
  return calls;
}
