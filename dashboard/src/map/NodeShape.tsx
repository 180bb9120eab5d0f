import { memo } from "react";
import type { Node } from "../api/client";
import { trouble } from "../format/numbers";
import { plain, titled } from "../format/names";
import { iconPath } from "../parts/Icon";
import { words } from "../words";
import { fitted, nodeBeside, nodeFigure, nodeWords, type Label } from "./figures";
import { NODE_HEIGHT, NODE_WIDTH, type Place } from "./layout/shapes";

interface Props {
  node: Node;
  place: Place;
  label: Label;
  isShared: boolean;
  steps: { some: number; many: number };
  /** quiet, dimmed, picked, found … */
  state: string;
  isTabStop: boolean;
  source: string;
  onPick: (id: string) => void;
  onHover: (id: string | null) => void;
  onFocus: (id: string | null) => void;
}

const BAR = NODE_WIDTH - 16;

export const NodeShape = memo(function NodeShape({ node, place, label, isShared, steps, state, isTabStop, source, onPick, onHover, onFocus }: Props) {
  const { id, kind, metrics, status } = node;
  const { name, above } = titled(node, isShared);
  const [figure, what] = nodeFigure(node, label);
  const level = trouble(metrics.errorRate, steps);
  const isService = ["service", "namespace", "cluster"].includes(kind);
  return (
    <g className={`node ${status} ${isService ? "" : "virtual"} ${state}`} transform={`translate(${place.x} ${place.y - NODE_HEIGHT / 2})`}
      role="button" aria-label={nodeWords(node, label)} tabIndex={isTabStop ? 0 : -1} data-node={id}
      onClick={() => onPick(id)} onPointerEnter={() => onHover(id)} onPointerLeave={() => onHover(null)}
      onFocus={(event) => event.currentTarget.matches(":focus-visible") && onFocus(id)} onBlur={() => onFocus(null)}>
      <rect className="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx={isService ? 8 : 16} />
      {status === "down" && <rect className="inner" x={3.5} y={3.5} width={NODE_WIDTH - 7} height={NODE_HEIGHT - 7} rx={isService ? 5 : 13} />}
      <path className="kind" transform="translate(9 9) scale(.95)" d={iconPath(kind)} />
      {above !== "" && <text className="above" x={9} y={-5}>{fitted(above, NODE_WIDTH - 10, "10.5px")}</text>}
      <text className="name" x={30} y={20}>{fitted(name, NODE_WIDTH - 38)}</text>
      <text className="figure" x={30} y={37}>{figure}<tspan className="unit" dx="4">{figure === "–" ? "" : what}</tspan></text>
      <text className={`beside ${level}`} x={NODE_WIDTH - 9} y={37}>{nodeBeside(node, label, level)}</text>
      {metrics.errorRate > 0 && <rect className={`share ${level}`} x={8} y={NODE_HEIGHT - 5} height={2.5} rx={1} width={Math.max(2, metrics.errorRate * BAR)} />}
      <title>{`${tooltip(node, label)}\n${source}`}</title>
    </g>
  );
});

function tooltip(node: Node, label: Label): string {
  const { service: { namespace, cluster, versions }, joined } = node;
  const { panel } = words;
  const lines = [nodeWords(node, label)];
  if (namespace !== "") lines.push(`${panel.namespace} ${namespace}`);
  if (cluster !== "") lines.push(`${panel.cluster} ${cluster}`);
  if (versions.length > 0) lines.push(`${panel.versions} ${versions.join(", ")}`);
  if (joined.length > 0) lines.push(`${panel.alsoCalled} ${joined.join(", ")}`);
  return plain(lines.join("\n"));
}
