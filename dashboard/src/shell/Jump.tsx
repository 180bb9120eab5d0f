import { useState, type KeyboardEvent } from "react";
import { api } from "../api/client";
import { operationName, whereabouts } from "../format/names";
import { useLook } from "../look";
import { Icon } from "../parts/Icon";
import { openNode } from "../map/choice";
import { Dialog } from "../parts/Dialog";
import { go, toView } from "../url/address";
import { given } from "../url/filters";
import { words } from "../words";
import { VIEWS } from "./Rail";

interface Place {
  kind: keyof typeof words.jump.kinds;
  name: string;
  beside: string;
  to: string;
}

const ICONS = { service: "service", operation: "operations", flow: "live", view: "map" } as const;
const SHOWN = 12;

/** To a service, an operation, a view or a flow by its id. */
export function Jump({ onClose }: { onClose: () => void }) {
  const [text, type] = useState("");
  const [picked, pick] = useState(0);
  const places = found(usePlaces(), text);
  const follow = (place: Place | undefined) => {
    if (place === undefined) return;
    onClose();
    go(place.to);
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      pick((picked + step + places.length) % Math.max(1, places.length));
    } else if (event.key === "Enter") {
      // What opens takes the focus, and would take the key too.
      event.preventDefault();
      follow(places[picked]);
    }
  };
  return (
    <Dialog title={words.jump.title} onClose={onClose}>
      <input className="jump" autoFocus role="combobox" aria-expanded="true" aria-controls="jump-list" aria-activedescendant={`jump-${picked}`} aria-label={words.jump.placeholder}
        placeholder={words.jump.placeholder} value={text} onKeyDown={press} onChange={(event) => {
          type(event.target.value);
          pick(0);
        }} />
      <ul className="plain jump-list" id="jump-list" role="listbox" aria-label={words.jump.title}>
        {places.map((place, index) => (
          <li key={`${place.kind} ${place.to}`} id={`jump-${index}`} role="option" aria-selected={index === picked} onClick={() => follow(place)} onPointerMove={() => pick(index)}>
            <Icon name={ICONS[place.kind]} />
            <span className="grow">{place.name} <span className="muted">{place.beside}</span></span>
            <span className="small muted">{words.jump.kinds[place.kind]}</span>
          </li>
        ))}
        {places.length === 0 && <li className="muted">{words.jump.none}</li>}
      </ul>
    </Dialog>
  );
}

function usePlaces(): Place[] {
  const { known, filters: { environment } } = useLook();
  const services = api.useQuery("get", "/api/v1/services", { params: { query: given({ environment }) } });
  const query = new URLSearchParams(location.search);
  return [
    ...VIEWS.map(({ path, name }): Place => ({ kind: "view", name: words.views[name], beside: "", to: toView(path, query) })),
    ...(known?.operations ?? []).filter(({ probe }) => !probe).map((each): Place => ({
      kind: "operation", name: operationName(each.name), beside: each.environment, to: toView("/", query, { operation: each.name, environment: each.environment }),
    })),
    ...(services.data?.services ?? []).map((each): Place => ({
      kind: "service", name: each.name, beside: whereabouts(each), to: toView("/", query, { ...openNode(each.id), environment: each.environment, operation: null, service: null, namespace: null }),
    })),
  ];
}

export function found(places: Place[], text: string): Place[] {
  const wanted = text.trim().toLowerCase();
  const matching = wanted === "" ? places : places.filter(({ name }) => name.toLowerCase().includes(wanted));
  // What begins with the text comes before what merely contains it.
  const sorted = [...matching].sort((a, b) => Number(b.name.toLowerCase().startsWith(wanted)) - Number(a.name.toLowerCase().startsWith(wanted)));
  const flow: Place[] = /^[0-9a-f]{32}$/.test(wanted) ? [{ kind: "flow", name: wanted, beside: "", to: `/flows/${wanted}` }] : [];
  return [...flow, ...sorted].slice(0, SHOWN);
}
