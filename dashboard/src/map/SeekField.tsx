import { set } from "../url/address";
import { words } from "../words";
import type { Read } from "./expression";

/** Where an expression is written; it counts as one types. `told`: what came of it. */
export function SeekField({ by, written, read: { problem }, told }: { by: "find" | "hide"; written: string; read: Read; told: string }) {
  const { map } = words;
  return (
    <span className="seek">
      <input type="search" data-filter={by === "find" ? "" : undefined} placeholder={map.seek[by].hint} aria-label={map.seek[by].label} aria-invalid={problem !== ""}
        value={written} onChange={(event) => set({ [by]: event.target.value }, { replace: true })} />
      <span className={problem === "" ? "small muted" : "small seek-problem"} role="status">{problem === "" ? told : problem}</span>
    </span>
  );
}
