import { useRef, type ReactNode } from "react";
import { duration } from "../../format/numbers";
import { Icon } from "../../parts/Icon";
import { Copy } from "../../parts/How";
import { useFocusBack } from "../../parts/useFocusBack";
import { A } from "../../url/A";
import { words } from "../../words";
import type { Span } from "./spans";

const { flow: text } = words;

export function SpanDetails({ span, onClose }: { span: Span; onClose: () => void }) {
  const { service, status } = span;
  const box = useRef<HTMLElement>(null);
  useFocusBack(box);
  return (
    <section ref={box} className="card span-details" aria-label={span.name}>
      <div className="card-head">
        <h2><span>{service.name}</span> <span className="mono">{span.name}</span></h2>
        <span className="muted">{span.kind}, {duration(span.duration)}{status.code === "ERROR" && <span className="bad"> ✕ {status.message || status.code}</span>}</span>
        <span className="push" /><Copy text={JSON.stringify(span, null, 2)} label={text.raw} />
        <button type="button" className="bare" title={words.panel.close} data-escape="" onClick={onClose}><Icon name="close" /><span className="unseen">{words.panel.close}</span></button>
      </div>
      <div className="columns card-body">
        <Values title={text.attributes} of={span.attributes} />
        <Values title={text.resource} of={span.resource} />
        {span.events.length > 0 && <Block title={text.events}>{span.events.map((event, index) => (
          <div key={index}><p><b>{event.name}</b> <span className="muted">+{duration(event.timestamp - span.startTime)}</span></p><Pairs of={event.attributes} /></div>
        ))}</Block>}
        {span.links.length > 0 && <Block title={text.links}><ul className="plain">{span.links.map((link) => (
          <li key={`${link.traceId} ${link.spanId}`}><A className="mono" href={`/flows/${encodeURIComponent(link.traceId)}?span=${encodeURIComponent(link.spanId)}`}>{link.traceId.slice(0, 8)} / {link.spanId}</A></li>
        ))}</ul></Block>}
      </div>
    </section>
  );
}

const Block = ({ title, children }: { title: string; children: ReactNode }) => <div className="stack tight"><h3>{title}</h3>{children}</div>;
const Values = ({ title, of }: { title: string; of: Record<string, string> }) => <Block title={title}><Pairs of={of} /></Block>;

function Pairs({ of }: { of: Record<string, string> }) {
  const pairs = Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1));
  if (pairs.length === 0) return <p className="muted">–</p>;
  return <dl className="pairs mono">{pairs.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}
