import { useEffect, useReducer, useState } from "react";
import { Feed, type Connection, type FlowFrame, type LiveFilters } from "./feed";
import { EMPTY, type GraphState } from "./state";

export interface Live {
  graph: GraphState;
  connection: Connection;
}

const NOTHING: Live = { graph: EMPTY, connection: { state: "connecting" } };

interface Ears {
  flow?: (frame: FlowFrame) => void;
  omitted?: (count: number) => void;
}

/** Listens with these filters, or not at all; other filters begin anew. `ears` must stay the same. */
export function useFeed(filters: Partial<LiveFilters> | null, ears: Ears = SILENT): Live {
  const key = filters === null ? "" : JSON.stringify(filters);
  const [live, hear] = useReducer((before: Live & { key: string }, change: Partial<Live> & { key: string }) =>
    ({ ...(before.key === change.key ? before : NOTHING), ...change }), { ...NOTHING, key });
  useEffect(() => {
    if (key === "") return;
    const feed = new Feed(JSON.parse(key) as LiveFilters, {
      graph: (graph) => hear({ key, graph }),
      connection: (connection) => hear({ key, connection }),
      flow: (frame) => ears.flow?.(frame),
      omitted: (count) => ears.omitted?.(count),
    });
    return () => feed.close();
  }, [key, ears]);
  return live.key === key ? live : NOTHING;
}

const SILENT: Ears = {};

interface Held<T> {
  /** What it is about. */
  of: string;
  value: T;
  latest: T;
  waiting: number;
}

/** Holds what it had when paused, and counts what it has let pass since; what is about something else is let go. */
export function useHeld<T>(value: T, paused: boolean, of: string): { shown: T; waiting: number } {
  const [held, hold] = useState<Held<T> | null>(null);
  const next = paused ? stillHeld(held, value, of) : null;
  // Changed while rendering: React starts over at once, and nothing in between is seen.
  if (next !== held) hold(next);
  return { shown: next === null ? value : next.value, waiting: next?.waiting ?? 0 };
}

function stillHeld<T>(held: Held<T> | null, value: T, of: string): Held<T> {
  if (held?.of !== of) return { of, value, latest: value, waiting: 0 };
  return Object.is(held.latest, value) ? held : { ...held, latest: value, waiting: held.waiting + 1 };
}
