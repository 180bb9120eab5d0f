// What a reader likes: kept in this browser, the same in all its tabs.

import { useSyncExternalStore } from "react";

export interface Settings {
  theme: "system" | "light" | "dark";
  contrast: "system" | "more";
  timeZone: "local" | "utc";
  /** Shares of errors from which something is amber, and red. */
  some: number;
  many: number;
  /** Addresses of other tools; {traceId}, {service}, {namespace}, {from} and {to} (ms) are filled in. */
  traceLink: string;
  logsLink: string;
}

const DEFAULTS: Settings = {
  theme: "system", contrast: "system", timeZone: "local", some: 0.01, many: 0.05, traceLink: "", logsLink: "",
};
const KEY = "weir-settings";
const listeners = new Set<() => void>();
let current = load();

function load(): Settings {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return { ...DEFAULTS, ...(stored as Partial<Settings>) };
  } catch {
    return DEFAULTS; // Private windows may refuse.
  }
}

export const settings = () => current;

export function change(changes: Partial<Settings>) {
  current = { ...current, ...changes };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Then it lasts as long as the page.
  }
  for (const listener of listeners) listener();
}

export function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  current = load();
  for (const listener of listeners) listener();
});

export const useSettings = () => useSyncExternalStore(subscribe, settings);

/** An address of another tool, or null where none is set or it is no web address. */
export function filled(template: string, values: Record<string, string>): string | null {
  if (template === "") return null;
  const address = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
  return /^https?:\/\//.test(address) ? address : null;
}
