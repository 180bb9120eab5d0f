import { useMemo } from "react";
import { words } from "../../words";
import { failures, type Line } from "./spans";

const { flow: text } = words;
const SHOWN = 20;

/** What failed and in which words; stack traces are text. */
export function Failures({ lines, onSelect }: { lines: Line[]; onSelect: (span: string) => void }) {
  const all = useMemo(() => failures(lines), [lines]);
  if (lines.length === 0) return null;
  return (
    <section className="card">
      <h2>{text.problems}</h2>
      <div className="card-body stack">
        {all.length === 0 && <p className="muted">{text.noProblems}</p>}
        {all.slice(0, SHOWN).map(({ span, type, message, stack }) => (
          <div key={span.spanId} className="failure">
            <p><button type="button" className="link" onClick={() => onSelect(span.spanId)}><span>{span.service.name}</span> {span.name}</button> <b className="bad">{type}</b> {message}</p>
            {stack !== "" && <pre className="raw" tabIndex={0}>{stack}</pre>}
          </div>
        ))}
        {all.length > SHOWN && <p className="muted">{words.table.rows(SHOWN, all.length)}</p>}
      </div>
    </section>
  );
}
