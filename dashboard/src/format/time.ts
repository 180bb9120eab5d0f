// Times are µs since the epoch everywhere in the API.

import { settings } from "../settings";
import { words } from "../words";

const zone = () => (settings().timeZone === "utc" ? "UTC" : undefined);
const OF_DAY = { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const;
const FORMS = {
  ofDay: OF_DAY,
  moment: { day: "numeric", month: "short", ...OF_DAY },
  minute: { hour: "2-digit", minute: "2-digit" },
  date: { day: "numeric", month: "short" },
} as const;

/** A formatter takes longer to be made than a hundred times to be used. */
const made = new Map<string, Intl.DateTimeFormat>();

function format(us: number, form: keyof typeof FORMS): string {
  const timeZone = zone();
  const key = `${form} ${timeZone}`;
  const formatter = made.get(key) ?? new Intl.DateTimeFormat("en-GB", { ...FORMS[form], timeZone });
  made.set(key, formatter);
  return formatter.format(us / 1000);
}

const DAY_MS = 86_400_000;
const ofDay = (us: number) => format(us, "ofDay");

/** 14:03:07, and with its date what is a day away or more. */
export const clock = (us: number) => (Math.abs(Date.now() - us / 1000) < DAY_MS ? ofDay(us) : moment(us));

/** 29 Nov, 14:03:07, with the zone where it isn't the reader's own. */
export const moment = (us: number) =>
  `${format(us, "moment")}${zone() ? " UTC" : ""}`;

/** For the axis of a chart that is so many seconds long. */
export function tick(us: number, seconds: number): string {
  if (seconds <= 300) return ofDay(us);
  if (seconds <= 172_800) return format(us, "minute");
  return format(us, "date");
}

/** now, 12 s ago, 5 min ago, 3 h ago, 2 days ago */
export function ago(us: number, nowMs: number): string {
  const seconds = Math.max(0, nowMs / 1000 - us / 1e6);
  if (seconds < 2) return words.ago.now;
  if (seconds < 100) return words.ago.seconds(Math.round(seconds));
  if (seconds < 5_400) return words.ago.minutes(Math.round(seconds / 60));
  return seconds < 129_600 ? words.ago.hours(Math.round(seconds / 3600)) : words.ago.days(Math.round(seconds / 86_400));
}

/** How far the reader's clock is behind UTC, µs. */
export const zoneShift = (us: number) => (zone() ? 0 : new Date(us / 1000).getTimezoneOffset() * 60e6);

/** What an input of the type `datetime-local` takes and gives. */
export const toInput = (us: number) => new Date((us - zoneShift(us)) / 1000).toISOString().slice(0, 19);

export function fromInput(text: string): number {
  return new Date(zone() ? `${text}Z` : text).getTime() * 1000;
}
