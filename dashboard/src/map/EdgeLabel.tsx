import { memo } from "react";
import type { Edge } from "../api/client";
import { trouble } from "../format/numbers";
import { edgeFigures, type Label } from "./figures";
import type { Point } from "./layout/shapes";

interface Props {
  edge: Edge;
  at: Point;
  label: Label;
  steps: { some: number; many: number };
  state: string;
}

/** The numbers of an edge. They are drawn after all edges, so that no line runs through them. */
export const EdgeLabel = memo(function EdgeLabel({ edge, at, label, steps, state }: Props) {
  const [calm, bad] = edgeFigures(edge, label);
  const both = calm !== "" && bad !== "";
  return (
    <text className={`label ${trouble(edge.errorRate, steps)} ${state}`}>
      {calm !== "" && <tspan x={at.x} y={at.y + (both ? -2 : 4)}>{calm}</tspan>}
      {bad !== "" && <tspan className="trouble" x={at.x} y={at.y + (both ? 11 : 4)}>{bad}</tspan>}
    </text>
  );
});
