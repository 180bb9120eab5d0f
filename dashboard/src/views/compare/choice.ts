// What is compared with what, from the address and as a question.

import { useAddress } from "../../url/address";
import { given, seconds, timeQuery, type Filters } from "../../url/filters";

export const MODES = ["times", "environments", "versions"] as const;
export const BASES = ["previous", "day", "week"] as const;
export type Mode = (typeof MODES)[number];
export type Base = (typeof BASES)[number];

export interface CompareChoice {
  mode: Mode;
  base: Base;
  baselineEnvironment: string;
  compareService: string;
  version: string;
  baselineVersion: string;
}

export function useCompareChoice(): CompareChoice {
  const { query } = useAddress();
  const text = (name: string) => query.get(name) ?? "";
  return {
    mode: MODES.find((each) => each === query.get("compare")) ?? "times", base: BASES.find((each) => each === query.get("base")) ?? "previous",
    baselineEnvironment: text("baselineEnvironment"), compareService: text("of"), version: text("version"), baselineVersion: text("baselineVersion"),
  };
}

const BACK_S = { previous: 0, day: 86_400, week: 604_800 };
const ALIGN_S = 10;

/** null where something is still to be chosen. `nowMs` is when the view was opened: both windows stay the same until asked anew. */
export function question({ operation, environment, service, namespace, cluster, probes, time }: Filters, choice: CompareChoice, nowMs: number) {
  const shared = { ...given({ operation, environment, namespace, cluster, probes }), ...(service === "" ? {} : { service }) };
  if (choice.mode === "environments") {
    return choice.baselineEnvironment === "" || environment === "" ? null : { ...shared, ...timeQuery(time), baselineEnvironment: choice.baselineEnvironment };
  }
  if (choice.mode === "versions") {
    const { compareService, version, baselineVersion } = choice;
    return [compareService, version, baselineVersion].includes("") ? null : { ...shared, ...timeQuery(time), service: compareService, version, baselineVersion };
  }
  const end = time.kind === "between" ? time.to / 1e6 : Math.floor(nowMs / 1000 / ALIGN_S) * ALIGN_S;
  const length = Math.max(ALIGN_S, seconds(time));
  const back = BACK_S[choice.base] || length;
  const at = (second: number) => String(Math.round(second * 1e6));
  return { ...shared, startTime: at(end - length), endTime: at(end), baselineStartTime: at(end - length - back), baselineEndTime: at(end - back) };
}
