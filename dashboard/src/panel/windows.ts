// The window before the one that is looked at, of the same length.

import { seconds, timeQuery, type Time, type TimeQuery } from "../url/filters";

const ALIGN_S = 10;

/** Begins and ends at whole ten seconds, so that it is the same question for a while. */
export function before(time: Time, nowMs: number): TimeQuery {
  if (time.kind === "between") return timeQuery({ kind: "between", from: 2 * time.from - time.to, to: time.from });
  const length = Math.max(ALIGN_S, seconds(time));
  const end = Math.floor(nowMs / 1000 / ALIGN_S) * ALIGN_S - length;
  return timeQuery({ kind: "between", from: (end - length) * 1e6, to: end * 1e6 });
}
