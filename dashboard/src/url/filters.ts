// What is looked at: the filters of the top bar, from the address and as parameters of the API.

import { useMemo } from "react";
import { shared, useAddress } from "./address";

export type Time =
  | { kind: "live"; window: string }
  | { kind: "last"; window: string }
  | { kind: "between"; from: number; to: number };

export interface Filters {
  operation: string;
  /** "" is all of them. */
  environment: string;
  service: string;
  namespace: string;
  cluster: string;
  status: string;
  probes: boolean;
  time: Time;
}

export const LIVE_WINDOWS = ["10s", "1m", "5m", "15m"] as const;
export const LAST_WINDOWS = ["15m", "1h", "3h", "6h", "24h", "7d", "30d"] as const;
export const STATUSES = ["success", "error", "timeout"] as const;
/** What did not go well, for lists of flows. */
export const FAILED = "error,timeout";
const DEFAULT_LIVE = "5m";
/** Says in the address that all environments are meant: without the parameter it is the busiest one. */
export const EVERYWHERE = "*";

export function parse(query: URLSearchParams, busiest: string): Filters {
  const text = (name: string) => query.get(name) ?? "";
  const environment = query.get("environment") ?? busiest;
  const status = text("status");
  return {
    operation: text("operation"),
    environment: environment === EVERYWHERE ? "" : environment,
    service: text("service"),
    namespace: text("namespace"),
    cluster: text("cluster"),
    status: (STATUSES as readonly string[]).includes(status) ? status : "",
    probes: query.get("probes") === "true",
    time: time(query),
  };
}

function time(query: URLSearchParams): Time {
  const [from, to] = ["startTime", "endTime"].map((name) => Number(query.get(name) ?? NaN));
  if (from !== undefined && to !== undefined && from > 0 && from < to) return { kind: "between", from, to };
  const last = query.get("window");
  if (last !== null && /^\d+[smhd]$/.test(last)) return { kind: "last", window: last };
  const live = query.get("live") ?? "";
  return { kind: "live", window: (LIVE_WINDOWS as readonly string[]).includes(live) ? live : DEFAULT_LIVE };
}

/** The changes of the address that choose a time. */
export function timeInAddress(chosen: Time): Record<string, string | null> {
  const nothing = { live: null, window: null, startTime: null, endTime: null, replay: null };
  if (chosen.kind === "between") return { ...nothing, startTime: String(Math.round(chosen.from)), endTime: String(Math.round(chosen.to)) };
  if (chosen.kind === "last") return { ...nothing, window: chosen.window };
  return { ...nothing, live: chosen.window === DEFAULT_LIVE ? null : chosen.window };
}

export interface TimeQuery {
  window?: string;
  startTime?: string;
  endTime?: string;
}

export function timeQuery(chosen: Time): TimeQuery {
  if (chosen.kind !== "between") return { window: chosen.window };
  return { startTime: String(chosen.from), endTime: String(chosen.to) };
}

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 };

export function seconds(chosen: Time): number {
  if (chosen.kind === "between") return (chosen.to - chosen.from) / 1e6;
  return Number(chosen.window.slice(0, -1)) * UNITS[chosen.window.slice(-1) as keyof typeof UNITS];
}

/** How often what is not pushed is asked again; a past that has ended doesn't change. */
export function askAgainMs(chosen: Time): number | false {
  if (chosen.kind === "between") return false;
  return chosen.kind === "live" ? 5_000 : Math.min(60_000, Math.max(10_000, seconds(chosen) * 10));
}

/** Leaves out what isn't chosen: the API refuses empty parameters. */
export function given<T extends Record<string, string | boolean | undefined>>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "" && value !== false && value !== undefined)) as Partial<T>;
}

export function useFilters(busiest: string): Filters {
  // They stay the same while a panel opens, and so does all that is asked by them.
  const text = shared(useAddress().query);
  return useMemo(() => parse(new URLSearchParams(text), busiest), [text, busiest]);
}
