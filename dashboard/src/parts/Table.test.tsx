import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Table, sorted, type Column } from "./Table";

interface Row {
  name: string;
  count: number | null;
}
const rows: Row[] = [{ name: "b", count: 2 }, { name: "a", count: 10 }, { name: "c", count: null }];
const columns: Column<Row>[] = [
  { id: "name", title: "Name", value: (row) => row.name, isFirstUp: true },
  { id: "count", title: "Count", value: (row) => row.count },
];
const names = () => screen.getAllByRole("row").slice(1).map((row) => row.firstElementChild?.textContent);

globalThis.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};
// jsdom lays nothing out: a box without a height has no rows in sight.
Object.defineProperty(HTMLElement.prototype, "clientHeight", { get: () => 600 });
Object.defineProperty(HTMLElement.prototype, "clientWidth", { get: () => 800 });
afterEach(cleanup);

describe("the table", () => {
  const show = (onRow?: (row: Row) => void) => render(<Table caption="Things" rows={rows} columns={columns} keyOf={(row) => row.name} sortBy="count" text={(row) => row.name} {...(onRow ? { onRow } : {})} />);

  it("begins with the most, and what has no value stands last whichever way", () => {
    show();
    expect(names()).toEqual(["a", "b", "c"]);
    fireEvent.click(screen.getByRole("button", { name: /Count/ }));
    expect(names()).toEqual(["b", "a", "c"]);
    expect(screen.getByRole("columnheader", { name: /Count/ }).getAttribute("aria-sort")).toBe("ascending");
  });

  it("filters as one types, and says how many are left", async () => {
    show();
    fireEvent.change(screen.getByRole("searchbox"), { target: { value: "B" } });
    expect(await screen.findByText("1 of 3 rows")).toBeTruthy();
    expect(names()).toEqual(["b"]);
  });

  it("opens a row by a click and by Enter", () => {
    const open = vi.fn();
    show(open);
    fireEvent.click(screen.getByText("a"));
    const [, first] = screen.getAllByRole("row");
    if (first) fireEvent.keyDown(first, { key: "Enter" });
    expect(open.mock.calls.map(([row]) => (row as Row).name)).toEqual(["a", "a"]);
  });

  it("sorts equal values by their keys, so that rows don't swap places", () => {
    const same = [{ name: "y", count: 1 }, { name: "x", count: 1 }];
    const [, column] = columns;
    expect(column && sorted(same, column, true, (row) => row.name).map(({ name }) => name)).toEqual(["x", "y"]);
  });
});
