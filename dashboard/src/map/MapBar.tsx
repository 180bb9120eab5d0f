import type { ReactNode } from "react";
import { Icon } from "../parts/Icon";
import { set } from "../url/address";
import { words } from "../words";
import { LABELS } from "./figures";
import type { Group, MapChoice } from "./choice";
import { AS, GROUPS, ONLY } from "./choice";

interface Props {
  choice: MapChoice;
  group: Group;
  canPause: boolean;
  paused: boolean;
  waiting: number;
  onPause: () => void;
  onTidy: () => void;
  exportMenu: ReactNode;
  children?: ReactNode;
}

export function MapBar({ choice, group, canPause, paused, waiting, onPause, onTidy, exportMenu, children }: Props) {
  const { map } = words;
  return (
    <div className="bar">
      <div className="segments" role="group" aria-label={map.show}>
        {AS.map((as) => (
          <button key={as} type="button" aria-pressed={choice.as === as} onClick={() => set({ as: as === "map" ? null : as })}>{{ map: map.asMap, table: map.asTable, tree: map.asTree }[as]}</button>
        ))}
      </div>
      <label className="field"><span className="field-name">{map.labels}</span>
        <select value={choice.label} onChange={(event) => set({ labels: event.target.value === "all" ? null : event.target.value })}>
          {LABELS.map((label) => <option key={label} value={label}>{map.label[label]}</option>)}
        </select>
      </label>
      <label className="field"><span className="field-name">{map.group}</span>
        <select value={group} onChange={(event) => set({ group: event.target.value, node: null, from: null, to: null, focus: null })}>
          {GROUPS.map((each) => <option key={each} value={each}>{map.groups[each]}</option>)}
        </select>
      </label>
      <label className="field"><span className="field-name">{map.only}</span>
        <select value={choice.only} onChange={(event) => set({ only: event.target.value })}>
          {ONLY.map((each) => <option key={each} value={each}>{map.onlys[each]}</option>)}
        </select>
      </label>
      {children}
      <span className="push" />
      {canPause && <button type="button" data-pause="" aria-pressed={paused} onClick={onPause}>
        <span className="with-icon"><Icon name={paused ? "play" : "pause"} size={13} />{paused ? map.resume(waiting) : map.pause}</span>
      </button>}
      <button type="button" title={map.tidyHint} onClick={onTidy}>{map.tidy}</button>
      {exportMenu}
    </div>
  );
}
