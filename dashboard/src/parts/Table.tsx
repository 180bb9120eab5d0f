// The one table of the page: sortable, filtered as one types, whole rows to click, only what is in sight in the document.

import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { words } from "../words";

export interface Column<T> {
  id: string;
  title: string;
  /** What it is sorted by; a number stands at the right. */
  value: (row: T) => string | number | null | undefined;
  show?: (row: T) => ReactNode;
  level?: (row: T) => string;
  isFirstUp?: boolean;
  /** Sparklines can't be sorted by. */
  isFixed?: boolean;
  /** Takes the room that the others leave, and is cut where that is too little. */
  isWide?: boolean;
}

interface Props<T> {
  caption: string;
  rows: T[];
  columns: Column<T>[];
  keyOf: (row: T) => string;
  sortBy: string;
  onRow?: (row: T) => void;
  isPicked?: (row: T) => boolean;
  /** What the filter looks at; without it there is no filter. */
  text?: (row: T) => string;
  /** What stands beside the filter. */
  beside?: ReactNode;
  none?: string;
  /** What its numbers say of themselves when they are pointed at. */
  source?: string;
}

const ROW_HEIGHT = 31;

export function Table<T>({ caption, rows, columns, keyOf, sortBy, onRow, isPicked, text, beside, none = words.table.none, source }: Props<T>) {
  const [sort, order] = useState({ id: sortBy, up: columns.find(({ id }) => id === sortBy)?.isFirstUp ?? false });
  const [typed, type] = useState("");
  const wanted = useDeferredValue(typed.trim().toLowerCase());
  const shown = useMemo(() => {
    const kept = text === undefined || wanted === "" ? rows : rows.filter((row) => text(row).toLowerCase().includes(wanted));
    const column = columns.find(({ id }) => id === sort.id) ?? columns[0];
    return column === undefined ? kept : sorted(kept, column, sort.up, keyOf);
  }, [rows, columns, keyOf, text, wanted, sort]);
  const isNumber = useMemo(() => new Set(columns.filter((column) => rows.some((row) => typeof column.value(row) === "number")).map(({ id }) => id)), [columns, rows]);

  const classOf = ({ id, isWide }: Column<T>) => (isNumber.has(id) ? "number" : isWide ? "wide" : "");

  const box = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- its functions are used here only.
  const virtual = useVirtualizer({ count: shown.length, getScrollElement: () => box.current, estimateSize: () => ROW_HEIGHT, overscan: 12, initialRect: { width: 800, height: 800 } });
  const items = virtual.getVirtualItems();
  const [above, below] = [items[0]?.start ?? 0, virtual.getTotalSize() - (items.at(-1)?.end ?? 0)];

  return (
    <div className="table">
      {text && (
        <div className="table-filter">
          {beside}
          <input type="search" data-filter="" value={typed} placeholder={words.table.filter} aria-label={words.table.filter} onChange={(event) => type(event.target.value)} />
          <span className="muted small" role="status">{words.table.rows(shown.length, rows.length)}</span>
        </div>
      )}
      <div className="table-scroll" ref={box} tabIndex={0} role="region" aria-label={caption}>
        <table aria-rowcount={shown.length + 1}>
          <caption className="unseen">{caption}</caption>
          <thead>
            <tr>{columns.map((column) => (
              <th key={column.id} scope="col" className={classOf(column)} aria-sort={column.id === sort.id ? (sort.up ? "ascending" : "descending") : undefined}>
                {column.isFixed ? column.title : (
                  <button type="button" title={words.table.sortBy(column.title)} onClick={() => order({ id: column.id, up: column.id === sort.id ? !sort.up : column.isFirstUp ?? false })}>
                    {column.title}<span aria-hidden="true">{column.id === sort.id ? (sort.up ? " ↑" : " ↓") : ""}</span>
                  </button>
                )}
              </th>
            ))}</tr>
          </thead>
          <tbody>
            {above > 0 && <Spacer height={above} />}
            {items.map((item) => {
              const row = shown[item.index];
              return row === undefined ? null : (
                <tr key={keyOf(row)} aria-rowindex={item.index + 2} className={`${onRow ? "clickable" : ""} ${isPicked?.(row) ? "picked" : ""}`}
                  tabIndex={onRow ? 0 : undefined} onClick={() => onRow?.(row)} onKeyDown={(event) => pressed(event, () => onRow?.(row))}>
                  {columns.map((column) => (
                    <td key={column.id} title={isNumber.has(column.id) ? source : undefined} className={`${classOf(column)} ${column.level?.(row) || (column.value(row) === 0 ? "muted" : "")}`}>{column.show ? column.show(row) : column.value(row)}</td>
                  ))}
                </tr>
              );
            })}
            {below > 0 && <Spacer height={below} />}
          </tbody>
        </table>
        {shown.length === 0 && <p className="state muted">{rows.length === 0 ? none : words.table.none}</p>}
      </div>
    </div>
  );
}

function Spacer({ height }: { height: number }) {
  return <tr aria-hidden="true" ref={(row) => { if (row) row.style.height = `${height}px`; }} />;
}

function pressed(event: KeyboardEvent<HTMLTableRowElement>, act: () => void) {
  if (event.target !== event.currentTarget) return;
  if (event.key === "Enter") {
    // What opens takes the focus, and would take the key too.
    event.preventDefault();
    act(); return;
  }
  const next = event.key === "ArrowDown" ? event.currentTarget.nextElementSibling : event.key === "ArrowUp" ? event.currentTarget.previousElementSibling : null;
  if (!(next instanceof HTMLElement)) return;
  event.preventDefault();
  next.focus();
}

/** What has no value stands last, whichever way the rest goes. */
export function sorted<T>(rows: T[], column: Column<T>, up: boolean, keyOf: (row: T) => string): T[] {
  return [...rows].sort((a, b) => compare(column.value(a), column.value(b), up) || (keyOf(a) < keyOf(b) ? -1 : 1));
}

function compare(a: string | number | null | undefined, b: string | number | null | undefined, up: boolean): number {
  const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
  if (noA || noB) return Number(noA) - Number(noB);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return up ? order : -order;
}
