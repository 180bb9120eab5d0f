// Where the reader is: path and parameters. Everything that can be chosen is in it, so that every view is a link.

import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const tell = () => listeners.forEach((listener) => listener());
addEventListener("popstate", tell);

/** An address that begins with two slashes would be another host. */
const here = () => location.pathname.replace(/^\/+/, "/") + location.search;

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export interface Address {
  path: string;
  query: URLSearchParams;
}

export function useAddress(): Address {
  const text = useSyncExternalStore(subscribe, here);
  const [path, query] = split(text);
  return { path, query: new URLSearchParams(query) };
}

function split(text: string): [string, string] {
  const mark = text.indexOf("?");
  return mark < 0 ? [text, ""] : [text.slice(0, mark), text.slice(mark + 1)];
}

/** Goes there; with `replace` the back button leads past it. */
export function go(to: string, { replace = false } = {}) {
  if (to === here()) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  tell();
}

/** Changes parameters of the page shown; null and "" take one away. */
export function set(changes: Record<string, string | null>, options?: { replace?: boolean }) {
  go(changed(here(), changes), options);
}

export function changed(address: string, changes: Record<string, string | null>): string {
  const [path, text] = split(address);
  const query = new URLSearchParams(text);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const rest = query.toString();
  return rest === "" ? path : `${path}?${rest}`;
}

/** The parameters that every view understands; the others belong to one view and stay behind. */
const SHARED = ["operation", "environment", "service", "namespace", "cluster", "status", "probes", "live", "window", "startTime", "endTime"];

export const shared = (query: URLSearchParams) => new URLSearchParams([...query].filter(([name]) => SHARED.includes(name))).toString();

export const toView = (path: string, query: URLSearchParams, changes: Record<string, string | null> = {}) => changed(`${path}?${shared(query)}`, changes);
