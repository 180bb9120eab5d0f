import { useMemo, useRef } from "react";
import type { Edge, Schemas } from "../../api/client";
import { titledId } from "../../format/names";
import { iconPath } from "../../parts/Icon";
import { edgeKey } from "../../live/state";
import { fitted } from "../../map/figures";
import { layOut } from "../../map/layout/layOut";
import { arrow, path } from "../../map/layout/routes";
import { NODE_HEIGHT, NODE_WIDTH, type Place } from "../../map/layout/shapes";
import { useViewport } from "../../map/useViewport";
import { words } from "../../words";

const { compare: text } = words;
type How = "added" | "removed" | "changed";
const MARKS: Record<How, string> = { added: "+", removed: "−", changed: "≠" };
/** Beyond this the tables say it better. */
const MOST = 120;

/** What differs as one map: new calls, gone calls, changed calls. */
export function DifferenceMap({ added, removed, changed }: { added: Edge[]; removed: Edge[]; changed: Schemas["EdgeChange"][] }) {
  const box = useRef<HTMLDivElement>(null);
  const edges = useMemo(() => {
    const all: [Edge, How][] = [...added.map((edge): [Edge, How] => [edge, "added"]), ...removed.map((edge): [Edge, How] => [edge, "removed"]), ...changed.map(({ current }): [Edge, How] => [current, "changed"])];
    return new Map(all.slice(0, MOST).map(([edge, how]) => [edgeKey(edge), { edge, how }]));
  }, [added, removed, changed]);
  const layout = useMemo(() => {
    const ids = new Set([...edges.values()].flatMap(({ edge: { from, to } }) => [from, to]));
    return layOut([...ids].map((id) => ({ id, isClient: /^(client|user):/.test(id) })), [...edges].map(([key, { edge: { from, to } }]) => ({ key, from, to })));
  }, [edges]);
  const { view, dragging } = useViewport(box, layout);
  return (
    <section className="card own-map" ref={(section) => section?.style.setProperty("--tall", `${layout.height}px`)}>
      <div className="card-head legend-row">{(["added", "removed", "changed"] as const).map((how) => <span key={how} className={`difference ${how}`}>{MARKS[how]} {text[how]}</span>)}</div>
      <div className="map-box" ref={box} {...dragging}>
        <svg className="map" role="img" aria-label={`${text.added}: ${added.length}; ${text.removed}: ${removed.length}; ${text.changed}: ${changed.length}`}>
          <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
            {[...layout.routes].map(([key, route]) => {
              const { how = "changed" } = edges.get(key) ?? {};
              const at = layout.labels.get(key);
              return (
                <g key={key} className={`edge difference ${how}`}>
                  <path className="line" d={path(route)} strokeWidth={2} /><path className="head" d={arrow(route)} />
                  {at && <text className="label sign" x={at.x} y={at.y + 5}>{MARKS[how]}</text>}
                </g>
              );
            })}
            {[...layout.places].map(([id, place]) => <Still key={id} id={id} place={place} />)}
          </g>
        </svg>
      </div>
    </section>
  );
}

/** A node without numbers: those of two sides stand in the tables. */
function Still({ id, place: { x, y } }: { id: string; place: Place }) {
  const { kind, above, name } = titledId(id);
  const isService = kind === "service";
  return (
    <g className={`node still ${isService ? "" : "virtual"}`} transform={`translate(${x} ${y - NODE_HEIGHT / 2})`}>
      <rect className="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx={isService ? 8 : 16} />
      <path className="kind" transform={`translate(9 ${NODE_HEIGHT / 2 - 8}) scale(.95)`} d={iconPath(kind)} />
      <text className="name" x={30} y={NODE_HEIGHT / 2 + (above === "" ? 4 : -2)}>{fitted(name, NODE_WIDTH - 38)}</text>
      {above !== "" && <text className="above" x={30} y={NODE_HEIGHT / 2 + 12}>{above}</text>}
    </g>
  );
}
