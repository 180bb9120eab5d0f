import { useMemo, useState } from "react";
import type { Schemas } from "../../api/client";
import { edgeKey } from "../../live/state";
import { FlowMap } from "../../map/FlowMap";
import { useLayout } from "../../map/useLayout";
import { words } from "../../words";

/** The flow's own graph: the same drawing, with the counts of this one flow. */
export function OwnMap({ graph, source }: { graph: Schemas["Graph"]; source: string }) {
  const nodes = useMemo(() => new Map(graph.nodes.map((node) => [node.id, node])), [graph]);
  const edges = useMemo(() => new Map(graph.edges.map((edge) => [edgeKey(edge), edge])), [graph]);
  const drawn = useLayout(nodes, edges, "flow");
  const [selected, select] = useState("");
  return (
    <section className="card own-map" ref={(section) => section?.style.setProperty("--tall", `${drawn.layout.height}px`)}>
      <h2>{words.flow.graph}</h2>
      <FlowMap drawn={drawn} present={{ nodes, edges }} label="flow" found={null} selected={selected} moves={false} source={source} onNode={select} onEdge={select} />
    </section>
  );
}
