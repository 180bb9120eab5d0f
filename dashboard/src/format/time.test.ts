import { afterEach, expect, it, vi } from "vitest";
import { clock, tick } from "./time";

afterEach(() => void vi.useRealTimers());

it("gives the date of what is a day away or more", () => {
  vi.useFakeTimers({ now: new Date("2026-11-29T12:00:00Z") });
  const us = (text: string) => Date.parse(text) * 1000;
  expect(clock(us("2026-11-28T12:00:01Z"))).toMatch(/^\d\d:\d\d:\d\d$/);
  expect(clock(us("2026-11-26T12:00:00Z"))).toMatch(/^26 Nov, \d\d:\d\d:\d\d/);
  expect(tick(us("2026-11-26T12:00:00Z"), 60)).toMatch(/^\d\d:\d\d:\d\d$/);
});
