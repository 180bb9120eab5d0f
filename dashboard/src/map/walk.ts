// Where an arrow key leads: along calls to the right and left, within a column up and down.

import type { Drawn } from "./useLayout";

/** Places may also be those of nodes that are hidden. */
export function step(key: string, id: string, { nodes, edges, layout }: { nodes: ReadonlyMap<string, unknown>; edges: Drawn["edges"]; layout: Pick<Drawn["layout"], "places"> }): string | undefined {
  const here = layout.places.get(id);
  if (here === undefined) return undefined;
  const nearest = (ids: string[]) => ids.flatMap((other) => {
    const place = layout.places.get(other);
    return place === undefined || other === id ? [] : [{ other, far: Math.abs(place.y - here.y) + Math.abs(place.layer - here.layer) * 1000 }];
  }).sort((a, b) => a.far - b.far)[0]?.other;
  if (key === "ArrowRight") return nearest([...edges.values()].filter(({ from }) => from === id).map(({ to }) => to));
  if (key === "ArrowLeft") return nearest([...edges.values()].filter(({ to }) => to === id).map(({ from }) => from));
  const column = [...layout.places].filter(([other, place]) => nodes.has(other) && place.layer === here.layer);
  if (key === "ArrowDown") return nearest(column.filter(([, place]) => place.y > here.y).map(([other]) => other));
  if (key === "ArrowUp") return nearest(column.filter(([, place]) => place.y < here.y).map(([other]) => other));
  return undefined;
}
