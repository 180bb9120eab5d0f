// Errors put together by what the reader asks for.

import type { Schemas } from "../../api/client";

export type ErrorGroup = Schemas["ErrorGroup"];
export const BY = ["message", "operation", "service", "peer"] as const;
export type By = (typeof BY)[number];

export interface Row extends ErrorGroup {
  key: string;
}

const FIELDS: Record<By, (keyof ErrorGroup)[]> = {
  message: ["operation", "environment", "service", "namespace", "peer", "exceptionType", "message"],
  operation: ["operation", "environment"],
  service: ["service", "namespace", "environment"],
  peer: ["service", "namespace", "peer", "environment"],
};

/** Groups that agree in these fields become one; what they differ in is left out. */
export function by(groups: ErrorGroup[], what: By): Row[] {
  const rows = new Map<string, Row>();
  const fields = FIELDS[what];
  for (const group of groups) {
    if (what === "peer" && group.peer === "") continue;
    const key = JSON.stringify(fields.map((field) => group[field]));
    const known = rows.get(key);
    rows.set(key, known === undefined ? { ...blank(group, fields), key } : together(known, group));
  }
  return [...rows.values()];
}

function blank(group: ErrorGroup, fields: (keyof ErrorGroup)[]): ErrorGroup {
  const left = (field: "operation" | "environment" | "service" | "namespace" | "peer" | "exceptionType" | "message") => (fields.includes(field) ? group[field] : "");
  return {
    ...group, operation: left("operation"), environment: left("environment"), service: left("service"), namespace: left("namespace"),
    peer: left("peer"), exceptionType: left("exceptionType"), message: left("message"),
  };
}

function together(row: Row, group: ErrorGroup): Row {
  return {
    ...row, count: row.count + group.count, firstSeen: Math.min(row.firstSeen, group.firstSeen), lastSeen: Math.max(row.lastSeen, group.lastSeen),
    trend: row.trend.map((count, index) => count + (group.trend[index] ?? 0)), traceIds: [...row.traceIds, ...group.traceIds].slice(0, 3),
  };
}
