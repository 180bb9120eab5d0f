import { useMemo } from "react";
import { useLook } from "../look";
import { set } from "../url/address";
import { EVERYWHERE } from "../url/filters";
import { operationName } from "../format/names";
import { words } from "../words";
import { Chips, MoreFilters } from "./MoreFilters";
import { Freshness } from "./Freshness";
import { TimeMenu } from "./TimeMenu";
import { UserMenu } from "./UserMenu";

/** Always the same: what is looked at on the left, how current it is on the right. */
export function TopBar() {
  const { filters } = useLook();
  return (
    <header className="top" aria-label={words.filters.label}>
      <Operation />
      <Environment />
      <TimeMenu time={filters.time} />
      <MoreFilters />
      <Chips />
      <span className="push" />
      <Freshness />
      <UserMenu />
    </header>
  );
}

function Operation() {
  const { known, filters: { operation, environment } } = useLook();
  const names = useMemo(() => {
    const here = known?.operations.filter((each) => !each.probe && each.name !== "" && (environment === "" || each.environment === environment));
    return [...new Set([...(here ?? []).map((each) => each.name), operation])].filter((name) => name !== "").sort();
  }, [known, environment, operation]);
  return (
    <label className="field">
      <span className="field-name">{words.filters.operation}</span>
      <select value={operation} onChange={(event) => set({ operation: event.target.value })}>
        <option value="">{words.filters.everyOperation}</option>
        {names.map((name) => <option key={name} value={name}>{operationName(name)}</option>)}
      </select>
    </label>
  );
}

function Environment() {
  const { known, filters: { environment } } = useLook();
  // Which one is the busiest may not be known yet.
  const isKnown = known !== undefined || environment !== "";
  const names = [...new Set([...(known?.environments ?? []), environment])].filter((name) => name !== "").sort();
  return (
    <label className="field">
      <span className="field-name">{words.filters.environment}</span>
      <select value={isKnown ? (environment === "" ? EVERYWHERE : environment) : ""} onChange={(event) => set({ environment: event.target.value })}>
        {!isKnown && <option value="">…</option>}
        <option value={EVERYWHERE}>{words.filters.everyEnvironment}</option>
        {names.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}
