import { useState } from "react";
import { percent } from "../format/numbers";
import { Icon, iconOf } from "../parts/Icon";
import { useSettings } from "../settings";
import { words } from "../words";

const KINDS = ["client", "user", "service", "database", "topic", "external", "unknown"];

export function Legend() {
  const { some, many } = useSettings();
  /** Of narrow screens it would take half. */
  const [isOpen, open] = useState(false);
  const { legendWords: legend, kinds, quiet } = words.map;
  const lines = (widths: number[], levels: string[]) => (
    <svg className="map legend-lines" width="48" height="10" aria-hidden="true">
      {widths.map((width, index) => <g key={index} className={`edge ${levels[index] ?? ""}`}><path className="line" d={`M${1 + index * 16} 5h13`} strokeWidth={width} /></g>)}
    </svg>
  );
  const box = (status: string) => (
    <svg className="map" width="26" height="16" aria-hidden="true"><g className={`node ${status}`}>
      <rect className="box" x="2" y="2" width="22" height="12" rx="3" />
      {status === "down" && <rect className="inner" x="5" y="5" width="16" height="6" rx="1" />}
    </g></svg>
  );
  return (
    <div className={`legend ${isOpen ? "open" : ""}`} aria-label={words.map.legend} role="note">
      <button type="button" className="link small" aria-expanded={isOpen} onClick={() => open(!isOpen)}>{words.map.legend}</button>
      <div>
        {KINDS.map((kind) => <span key={kind}><Icon name={iconOf(kind)} size={13} />{kinds[kind]}</span>)}
        <span>{box("degraded")}{legend.degraded}</span>
        <span>{box("down")}{legend.down}</span>
        <span className="faded">{quiet}</span>
      </div>
      <div>
        <span>{lines([1.2, 2.6, 4.4], [])}{legend.wider}</span>
        <span>{lines([3, 3, 3], ["", "some", "many"])}{legend.errors(percent(some), percent(many))}</span>
        <span><b>↻</b>{legend.retries}</span>
        <span><b>⊘</b>{legend.rejected}</span>
        <span><b>◷</b>{legend.timeouts}</span>
        <span><svg className="map" width="26" height="10" aria-hidden="true"><g className="edge one-sided"><path className="line" d="M1 5h14" strokeWidth="1.6" /><path className="head" d="M25 5l-9 -4.5v9z" /></g></svg>{legend.hollow}</span>
      </div>
    </div>
  );
}
