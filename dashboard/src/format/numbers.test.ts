import { describe, expect, it } from "vitest";
import { change, exact, latency, number, percent, trouble } from "./numbers";

describe("numbers", () => {
  it.each([
    [0, "0"], [0.004, "<\u202f0.01"], [0.005, "0.01"], [0.031, "0.03"], [1.24, "1.2"], [4, "4"], [4.02, "4.0"], [9.96, "10"], [84.2, "84"], [1240, "1,240"],
    [12_400, "12.4k"], [120_000, "120k"], [3_100_000, "3.1M"], [50_000, "50k"], [2_000_000_000, "2G"],
  ])("%d is %s", (value, text) => expect(number(value)).toBe(text));

  it.each([
    [null, "–"], [0.085, "85 µs"], [0.9, "900 µs"], [1.26, "1.3 ms"], [84.4, "84 ms"], [999.7, "1.00 s"], [2500, "2.50 s"],
    [31_240, "31.2 s"], [90_000, "1.5 min"], [7_200_000, "2 h"],
  ])("%d ms is %s", (ms, text) => expect(latency(ms)).toBe(text.replace(" ", "\u202f")));

  it.each([[0, "0 %"], [0.0004, "< 0.1 %"], [0.012, "1.2 %"], [0.5, "50 %"], [0.995, "99.5 %"], [0.9999, "> 99.9 %"], [1, "100 %"]])(
    "a share of %d is %s", (share, text) => expect(percent(share)).toBe(text.replaceAll(" ", "\u202f")));

  it("keeps every digit where people compare", () => expect([exact(1234567), exact(3.25)]).toEqual(["1,234,567", "3.3"]));

  it("names the step of trouble", () => {
    const steps = { some: 0.01, many: 0.05 };
    expect([0.009, 0.01, 0.05].map((share) => trouble(share, steps))).toEqual(["", "some", "many"]);
  });

  it("tells a change against before", () => {
    expect([change(110, 100), change(97, 100), change(100, 100), change(2000, 100), change(1, 0), change(null, 1)])
      .toEqual(["+10 %", "−3 %", "±0 %", "×20", "", ""]);
  });
});
