import { memo, useState } from "react";
import type { Edge } from "../api/client";
import { trouble } from "../format/numbers";
import { isOneSided } from "./figures";
import { arrow, path } from "./layout/routes";
import type { Route } from "./layout/shapes";

interface Props {
  id: string;
  edge: Edge;
  route: Route;
  words: string;
  steps: { some: number; many: number };
  state: string;
  /** Whether calls that arrive are seen to. */
  moves: boolean;
  hasDots: boolean;
  onPick: (id: string) => void;
  onHover: (id: string | null) => void;
}

/** Wider with the logarithm of the rate: the busiest edge of a shop is not a hundred times as wide as its login. */
const width = (perSecond: number) => 1.2 + 1.5 * Math.log10(1 + perSecond);
/** Dots pass faster where there are more calls, and never so fast that they flicker. */
const secondsPerDot = (perSecond: number) => Math.min(4, Math.max(0.6, 2.4 / Math.log10(2 + perSecond)));

export const EdgeShape = memo(function EdgeShape({ id, edge, route, words, steps, state, moves, hasDots, onPick, onHover }: Props) {
  const [pulse, setPulse] = useState({ calls: edge.callCount, isOn: false });
  // One that is on ends first: many calls a second are no flicker.
  if (edge.callCount !== pulse.calls) setPulse({ calls: edge.callCount, isOn: pulse.isOn || edge.callCount > pulse.calls });
  const line = path(route);
  const level = trouble(edge.errorRate, steps);
  return (
    <g className={`edge ${level} ${isOneSided(edge) ? "one-sided" : ""} ${state}`} data-edge={id}
      onClick={() => onPick(id)} onPointerEnter={() => onHover(id)} onPointerLeave={() => onHover(null)}>
      {moves && pulse.isOn && <path className="pulse" d={line} strokeWidth={width(edge.rate) + 6} onAnimationEnd={() => setPulse({ ...pulse, isOn: false })} />}
      <path className="line" d={line} strokeWidth={width(edge.rate)} />
      {moves && hasDots && edge.rate > 0 && <path className="dots" d={line} ref={(dots) => dots?.style.setProperty("--period", `${secondsPerDot(edge.rate)}s`)} />}
      <path className="head" d={arrow(route)} />
      <path className="hit" d={line} />
      <title>{words}</title>
    </g>
  );
});
