import { describe, expect, it } from "vitest";
import { changed, toView } from "./address";
import { askAgainMs, given, parse, seconds, timeInAddress, timeQuery } from "./filters";

const of = (text: string) => parse(new URLSearchParams(text), "production");

describe("filters in the address", () => {
  it("are live and of the busiest environment unless the address says otherwise", () => {
    expect(of("")).toMatchObject({ environment: "production", operation: "", probes: false, time: { kind: "live", window: "5m" } });
    expect(of("environment=*").environment).toBe("");
    expect(of("environment=qa&operation=login&probes=true")).toMatchObject({ environment: "qa", operation: "login", probes: true });
  });

  it("refuse what makes no sense, without failing", () => {
    expect(of("live=3m").time).toEqual({ kind: "live", window: "5m" });
    expect(of("window=lots").time).toEqual({ kind: "live", window: "5m" });
    expect(of("startTime=9&endTime=3").time.kind).toBe("live");
    expect(of("status=odd").status).toBe("");
  });

  it("say the same time in the address and to the API", () => {
    for (const text of ["live=1m", "window=24h", "startTime=1000000&endTime=61000000"]) {
      const { time } = of(text);
      expect(of(new URLSearchParams(Object.entries(timeInAddress(time)).filter((each): each is [string, string] => each[1] !== null)).toString()).time).toEqual(time);
    }
    expect(timeQuery({ kind: "between", from: 1, to: 2 })).toEqual({ startTime: "1", endTime: "2" });
    expect(seconds({ kind: "last", window: "24h" })).toBe(86_400);
    expect([askAgainMs({ kind: "between", from: 1, to: 2 }), askAgainMs({ kind: "live", window: "1m" })]).toEqual([false, 5000]);
  });

  it("leave out what isn't chosen", () => expect(given({ operation: "", service: "web", probes: false })).toEqual({ service: "web" }));
});

describe("addresses", () => {
  it("take parameters away and put them in", () => {
    expect(changed("/errors?a=1&b=2", { a: null, c: "x y" })).toBe("/errors?b=2&c=x+y");
    expect(changed("/", { a: "" })).toBe("/");
  });
  it("keep what all views share when the view changes", () => {
    expect(toView("/errors", new URLSearchParams("operation=login&node=web&live=1m"))).toBe("/errors?operation=login&live=1m");
  });
});
