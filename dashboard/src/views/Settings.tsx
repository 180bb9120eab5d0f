import { change, filled, useSettings, type Settings } from "../settings";
import { words } from "../words";

const { settings: text } = words;

export function SettingsView() {
  const { theme, contrast, timeZone, traceLink, logsLink } = useSettings();
  return (
    <div className="narrow stack">
      <h1>{text.title}</h1>
      <section className="card card-body stack form">
        <p className="muted small">{text.kept}</p>
        <Choice name={text.theme} value={theme} of={text.themes} choose={(value) => change({ theme: value })} />
        <Choice name={text.contrast} value={contrast} of={text.contrasts} choose={(value) => change({ contrast: value })} />
        <Choice name={text.timeZone} value={timeZone} of={text.timeZones} choose={(value) => change({ timeZone: value })} />
        <Share name={text.some} of="some" />
        <Share name={text.many} of="many" />
        <p className="muted small">{text.statusNote}</p>
        <Template name={text.traceLink} hint={text.traceHint} value={traceLink} choose={(value) => change({ traceLink: value })} />
        <Template name={text.logsLink} hint={text.logsHint} value={logsLink} choose={(value) => change({ logsLink: value })} />
        <p className="muted small">{text.placeholders}</p>
      </section>
    </div>
  );
}

function Choice<T extends string>({ name, value, of, choose }: { name: string; value: T; of: Record<T, string>; choose: (value: T) => void }) {
  return (
    <label>{name}
      <select value={value} onChange={(event) => choose(event.target.value as T)}>
        {(Object.entries(of) as [T, string][]).map(([key, shown]) => <option key={key} value={key}>{shown}</option>)}
      </select>
    </label>
  );
}

function Share({ name, of }: { name: string; of: "some" | "many" }) {
  const settings: Settings = useSettings();
  return (
    <label>{name}
      <input type="number" min="0.1" max="100" step="0.1" value={Math.round(settings[of] * 1000) / 10} onChange={(event) => {
        const share = event.target.valueAsNumber / 100;
        if (share > 0 && share <= 1) change({ [of]: share });
      }} />
    </label>
  );
}

function Template({ name, hint, value, choose }: { name: string; hint: string; value: string; choose: (value: string) => void }) {
  const isBad = value !== "" && filled(value, {}) === null;
  return (
    <label>{name}
      <input type="url" value={value} placeholder={hint} aria-invalid={isBad} onChange={(event) => choose(event.target.value)} />
      {isBad && <span className="bad" role="alert">{text.badLink}</span>}
    </label>
  );
}
