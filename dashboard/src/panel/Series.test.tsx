import { fireEvent, render } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { LineChart } from "../charts/LineChart";
import { placed } from "./Series";

it("puts flows into the steps that are drawn", () => {
  const at = (...times: number[]) => times.map((time) => ({ time })) as Parameters<typeof placed>[0];
  expect(placed(at(99, 100, 119, 120, 141), [100, 120]).map(({ step, of: { time } }) => [step, time])).toEqual([[0, 100], [0, 119], [1, 120]]);
});

it("leads from dots to flows, by a click and by Enter", () => {
  vi.stubGlobal("ResizeObserver", class { constructor(private tell: () => void) {} observe() { this.tell(); } disconnect() {} });
  vi.spyOn(HTMLElement.prototype, "clientWidth", "get").mockReturnValue(400);
  const dot = (step: number, value: number, href: string) => ({ step, value, isFailed: false, title: href, href });
  const { container } = render(<LineChart title="Latency" times={[0, 1e7]} lines={[{ name: "p95", values: [1, 10] }]} show={String} source="" at={1} onAt={() => {}}
    dots={[dot(0, 99, "/flows/other"), dot(1, 4, "/flows/quick"), dot(1, 300, "/flows/slow")]} />);
  fireEvent.keyDown(container.querySelector("[role=img]") as Element, { key: "Enter" });
  expect(location.pathname).toBe("/flows/slow");
  fireEvent.click(container.querySelector('a[href="/flows/quick"]') as Element);
  expect(location.pathname).toBe("/flows/quick");
});
