import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { duration, exact } from "../../format/numbers";
import { words } from "../../words";
import { unfolded, type Line } from "./spans";

const { flow: text } = words;
const ROW = 24;

interface Props {
  lines: Line[];
  /** µs */
  from: number;
  length: number;
  selected: string;
  onSelect: (span: string) => void;
}

/** Every span as a bar; only those in sight are in the document. */
export function Waterfall({ lines, from, length, selected, onSelect }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [folded, fold] = useState<ReadonlySet<string>>(new Set());
  const [typed, type] = useState("");
  const wanted = useDeferredValue(typed.trim().toLowerCase());
  const shown = useMemo(() => (wanted === "" ? unfolded(lines, folded) : lines.filter((line) => matches(line, wanted))), [lines, folded, wanted]);
  // eslint-disable-next-line react-hooks/incompatible-library -- its functions are used here only.
  const virtual = useVirtualizer({ count: shown.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 20, initialRect: { width: 700, height: 560 } });
  const at = shown.findIndex(({ span }) => span.spanId === selected);
  useEffect(() => {
    if (at >= 0) virtual.scrollToIndex(at, { align: "auto" });
  }, [at, virtual]);
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = step === undefined ? undefined : shown[at + step];
    if (next === undefined) return;
    event.preventDefault();
    onSelect(next.span.spanId);
  };
  const toggle = (id: string) => fold(new Set(folded.has(id) ? [...folded].filter((each) => each !== id) : [...folded, id]));
  return (
    <>
      <div className="table-filter">
        <input type="search" data-filter="" placeholder={text.find} aria-label={text.find} value={typed} onChange={(event) => type(event.target.value)} />
        <span className="small muted" role="status">{words.table.rows(shown.length, lines.length)}</span>
        <span className="small muted push"><i className="bar-key critical" /> {text.critical}</span>
        <span className="small muted"><i className="bar-key failed" /> {words.chart.failed}</span>
      </div>
      <Ruler length={length} />
      <div className="waterfall" ref={box} tabIndex={0} role="region" aria-label={`${text.waterfall}, ${exact(lines.length)}`} onKeyDown={press}>
        <div ref={(inner) => { if (inner) inner.style.height = `${virtual.getTotalSize()}px`; }}>
          {virtual.getVirtualItems().map(({ index, start }) => {
            const line = shown[index];
            return line && <Row key={line.span.spanId} line={line} top={start} from={from} length={length} isFolded={folded.has(line.span.spanId)}
              isSelected={line.span.spanId === selected} onSelect={onSelect} onFold={toggle} />;
          })}
        </div>
      </div>
    </>
  );
}

const matches = ({ span: { name, service, spanId } }: Line, wanted: string) => [name, service.name, spanId].some((each) => each.toLowerCase().includes(wanted));

function Row({ line: { span, depth, below, isCritical }, top, from, length, isFolded, isSelected, onSelect, onFold }: {
  line: Line; top: number; from: number; length: number; isFolded: boolean; isSelected: boolean; onSelect: (id: string) => void; onFold: (id: string) => void;
}) {
  const failed = span.status.code === "ERROR";
  const [left, width] = [Math.max(0, (span.startTime - from) / length), span.duration / length];
  const place = (row: HTMLDivElement | null) => {
    if (row === null) return;
    row.style.transform = `translateY(${top}px)`;
    const values = { depth: Math.min(depth, 14), left: `${left * 100}%`, width: `${Math.min(width, 1 - left) * 100}%` };
    for (const [name, value] of Object.entries(values)) row.style.setProperty(`--${name}`, String(value));
  };
  return (
    <div ref={place} className={`span-row ${failed ? "failed" : ""} ${isSelected ? "picked" : ""} ${isCritical ? "critical" : ""}`}>
      <span className="span-name">
        {below > 0 ? <button type="button" className="bare fold" aria-expanded={!isFolded} aria-label={span.name} onClick={() => onFold(span.spanId)}>{isFolded ? "▸" : "▾"}</button> : <i className="fold" />}
        <button type="button" className="bare grow" aria-pressed={isSelected} title={`${span.service.name} ${span.name}`} onClick={() => onSelect(span.spanId)}>{failed && <span className="bad">✕ </span>}<b>{span.service.name}</b> {span.name}</button>
      </span>
      <span className="span-track" aria-hidden="true" onClick={() => onSelect(span.spanId)}><i className="span-bar" /><span className={`span-time ${left + width <= 0.8 ? "" : left > 0.15 ? "before" : "inside"}`}>{duration(span.duration)}</span></span>
    </div>
  );
}

function Ruler({ length }: { length: number }) {
  return <div className="ruler" aria-hidden="true">{[0, 0.25, 0.5, 0.75].map((share) => <span key={share}>{share === 0 ? 0 : duration(length * share)}</span>)}<span>{duration(length)}</span></div>;
}
