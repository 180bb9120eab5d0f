import { useDeferredValue, useEffect, useRef, type ReactNode } from "react";
import { Icon, iconOf } from "../parts/Icon";
import { useFocusBack } from "../parts/useFocusBack";
import { words } from "../words";

/** Beside the view, never instead of it. */
export function Panel({ title, kind, about, actions, onClose, children }: {
  title: ReactNode; kind: string; about?: ReactNode; actions?: ReactNode; onClose: () => void; children: ReactNode;
}) {
  const close = useRef<HTMLButtonElement>(null);
  // A click is answered by the panel; what takes longer to draw comes after its first frame.
  const hasOpened = useDeferredValue(true, false);
  const box = useRef<HTMLElement>(null);
  useFocusBack(box);
  useEffect(() => close.current?.focus({ preventScroll: true }), []);
  return (
    <aside ref={box} className="card panel" aria-label={words.panel[kind === "edge" ? "edge" : "node"]} data-panel="">
      <header className="panel-head">
        <Icon name={kind === "edge" ? "edge" : iconOf(kind)} size={18} />
        <div className="panel-title"><h2>{title}</h2>{about}</div>
        <button ref={close} type="button" className="bare" data-escape="" title={words.panel.close} onClick={onClose}><Icon name="close" /><span className="unseen">{words.panel.close}</span></button>
        {actions && <div className="row panel-actions">{actions}</div>}
      </header>
      {hasOpened && children}
    </aside>
  );
}

export function Section({ title, how, children }: { title: string; how?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel-section">
      <div className="row"><h3>{title}</h3><span className="push" />{how}</div>
      {children}
    </section>
  );
}

export interface Figure {
  name: string;
  value: string;
  change?: string;
  level?: string;
  id?: string;
}

export function Figures({ of, source }: { of: Figure[]; source: string }) {
  return (
    <dl className="figures">
      {of.map(({ name, value, change = "", level = "", id }) => (
        <div key={name} data-figure={id}>
          <dt>{name}</dt>
          <dd><b className={level} title={source}>{value}</b>{change !== "" && <span className="small muted" title={words.panel.against}>{change}</span>}</dd>
        </div>
      ))}
    </dl>
  );
}
