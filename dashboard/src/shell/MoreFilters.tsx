import { useState } from "react";
import { api } from "../api/client";
import { useLook } from "../look";
import { Icon } from "../parts/Icon";
import { Menu } from "../parts/Menu";
import { set } from "../url/address";
import { STATUSES, given } from "../url/filters";
import { words } from "../words";

const NAMED = ["service", "namespace", "cluster"] as const;

export function MoreFilters() {
  return <Menu className="right" label={words.filters.more}>{() => <Form />}</Menu>;
}

function Form() {
  const { filters } = useLook();
  const services = api.useQuery("get", "/api/v1/services", { params: { query: given({ environment: filters.environment }) } });
  const values = (name: (typeof NAMED)[number]) =>
    [...new Set((services.data?.services ?? []).map((each) => (name === "service" ? each.name : each[name])))].filter((value) => value !== "").sort();
  return (
    <div className="stack filters">
      {NAMED.map((name) => <Named key={name} name={name} value={filters[name]} values={values(name)} />)}
      <label>{words.filters.status}
        <select value={filters.status} onChange={(event) => set({ status: event.target.value })}>
          <option value="">{words.filters.any}</option>
          {STATUSES.map((status) => <option key={status} value={status}>{words.filters.statuses[status]}</option>)}
        </select>
      </label>
      <label className="check">
        <input type="checkbox" checked={filters.probes} onChange={(event) => set({ probes: event.target.checked ? "true" : null })} />
        {words.filters.probes}
      </label>
    </div>
  );
}

/** A name that is typed or chosen; it counts when the field is left or Enter is pressed. */
function Named({ name, value, values }: { name: (typeof NAMED)[number]; value: string; values: string[] }) {
  const [text, type] = useState(value);
  const use = (next: string) => set({ [name]: next.trim() });
  return (
    <label>{words.filters[name]}
      <input list={`names-of-${name}`} value={text} placeholder={words.filters.any}
        onChange={(event) => {
          type(event.target.value);
          if (values.includes(event.target.value)) use(event.target.value);
        }}
        onBlur={() => use(text)}
        onKeyDown={(event) => event.key === "Enter" && use(text)} />
      <datalist id={`names-of-${name}`}>{values.map((each) => <option key={each} value={each} />)}</datalist>
    </label>
  );
}

/** What is filtered beyond the usual, so that nothing is left out unseen. */
export function Chips() {
  const { filters } = useLook();
  const chips: [string, string][] = NAMED.filter((name) => filters[name] !== "").map((name) => [name, `${words.filters[name]}: ${filters[name]}`]);
  if (filters.status !== "") chips.push(["status", words.filters.ended(words.filters.statuses[filters.status as "error"])]);
  if (filters.probes) chips.push(["probes", words.filters.probes]);
  return chips.map(([name, text]) => (
    <button key={name} type="button" className="chip" title={words.filters.clear(text)} onClick={() => set({ [name]: null })}>
      {text}<Icon name="close" size={11} />
    </button>
  ));
}
