import type { RefObject } from "react";
import { Menu } from "../parts/Menu";
import { words } from "../words";
import { csv, json, mermaid, png, save, type Edges, type Nodes, type Picture } from "./exports";

interface Props {
  nodes: Nodes;
  edges: Edges;
  /** Draws what is on the screen; null where nothing is drawn. */
  picture: RefObject<(() => Picture) | null>;
  isDrawn: boolean;
}

/** Pictures are of what is drawn; figures only of what there is now. */
export function ExportMenu({ nodes, edges, picture, isDrawn }: Props) {
  const write = (ending: string, content: string | Blob, type?: string) => save(`weir-map-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${ending}`, content, type);
  const forms: Record<string, () => void> = {
    CSV: () => write("csv", csv(edges), "text/csv"),
    JSON: () => write("json", json(nodes, edges), "application/json"),
    Mermaid: () => write("mmd", mermaid(nodes, edges)),
  };
  const drawn = (use: (of: Picture) => void) => () => { if (picture.current) use(picture.current()); };
  if (isDrawn) {
    forms["SVG"] = drawn(({ text }) => write("svg", text, "image/svg+xml"));
    forms["PNG"] = drawn((of) => void png(of).then((blob) => write("png", blob)));
  }
  return (
    <Menu className="right" label={words.map.export}>
      {(close) => (
        <div className="choices">
          {Object.entries(forms).map(([name, act]) => (
            <button key={name} type="button" className="bare" onClick={() => {
              act();
              close();
            }}>{name}</button>
          ))}
        </div>
      )}
    </Menu>
  );
}
