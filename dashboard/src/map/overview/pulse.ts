// Calls that arrive are seen on the overview too: once a second their lines are painted on a canvas of their own, and the
// browser fades that as a whole. Nothing is painted in between.

import { useEffect, useRef, type RefObject } from "react";
import type { Edge } from "../../api/client";
import type { Viewport } from "../useViewport";
import { paintPulse, type Paint } from "./paint";
import type { BigLayout } from "./place";

const PULSE_MS = 900;
/** More lines at once say nothing, and cost. */
const MOST = 300;

type Edges = ReadonlyMap<string, Edge>;

/** Edges with more calls than before; of too many those that gained most. */
export function grown(before: Edges, now: Edges, most = MOST): Edge[] {
  const gains = [...now].map(([key, edge]) => ({ edge, gain: edge.callCount - (before.get(key)?.callCount ?? 0) }));
  return gains.filter(({ gain }) => gain > 0).sort((a, b) => b.gain - a.gain).slice(0, most).map(({ edge }) => edge);
}

export function usePulse(canvas: RefObject<HTMLCanvasElement | null>, edges: Edges, layout: BigLayout, moves: boolean, { view, room }: { view: Viewport; room: Paint["room"] }) {
  const last = useRef({ edges, at: 0 });
  const seen = useRef({ view, room });
  useEffect(() => {
    seen.current = { view, room };
    // It was painted for another view.
    canvas.current?.getAnimations().forEach((pulse) => pulse.cancel());
  }, [canvas, view, room]);
  useEffect(() => {
    const now = performance.now();
    if (moves && now - last.current.at < PULSE_MS) return;
    const lines = moves ? grown(last.current.edges, edges) : [];
    last.current = { edges, at: now };
    if (lines.length === 0 || canvas.current === null || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    paintPulse(canvas.current, lines, layout, seen.current);
    canvas.current.animate([{ opacity: 0.8 }, { opacity: 0 }], { duration: PULSE_MS, easing: "ease-out" });
  }, [canvas, edges, layout, moves]);
}
