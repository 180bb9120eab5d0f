import { useEffect, useMemo, useState } from "react";
import { operationName } from "../../format/names";
import { duration, exact, percent } from "../../format/numbers";
import { clock } from "../../format/time";
import { address, curlOn } from "../../api/how";
import type { FlowFrame } from "../../live/feed";
import { useFeed, useHeld } from "../../live/useFeed";
import { useLook } from "../../look";
import { Icon } from "../../parts/Icon";
import { How } from "../../parts/How";
import { sourceOf } from "../../parts/source";
import { StatusMark } from "../../parts/StatusMark";
import { A } from "../../url/A";
import { toView, useAddress } from "../../url/address";
import { given, type Filters } from "../../url/filters";
import { words } from "../../words";
import { Flows } from "./FlowTable";
import { NO_FLOWS, told, type Flows as Happening, type Running, type Told } from "./store";

const { live: text } = words;
/** Numbers change at most so often. */
const SHOW_MS = 250;
const SHOWN = 60;

export function LiveView() {
  const { isLive } = useLook();
  return (
    <div className="stack">
      {isLive ? <Happens /> : <p className="card card-body muted">{text.pastOnly}</p>}
      <Flows />
    </div>
  );
}

const happening = ({ operation, environment, service, namespace, cluster, status, probes, time }: Filters) =>
  ({ ...given({ operation, environment, service, namespace, cluster, status: status as "success" }), probes, events: true, window: time.kind === "live" ? time.window : "1m" });

function useHappening(): Happening {
  const filters = happening(useLook().filters);
  const key = JSON.stringify(filters);
  const [flows, show] = useState<{ of: string; flows: Happening }>({ of: key, flows: NO_FLOWS });
  const ears = useMemo(() => new Ears(), []);
  const { connection: { state } } = useFeed(filters, ears);
  useEffect(() => (state === "lost" ? () => ears.lost() : undefined), [ears, state]);
  useEffect(() => {
    ears.clear();
    const timer = setInterval(() => {
      const [taken, now] = [ears.take(), Date.now()];
      show((before) => {
        const known = before.of === key ? before.flows : NO_FLOWS;
        const flows = told(known, taken, now);
        return flows === known ? before : { of: key, flows };
      });
    }, SHOW_MS);
    return () => clearInterval(timer);
  }, [ears, key]);
  return flows.of === key ? flows.flows : NO_FLOWS;
}

/** Gathers what is told between two looks. */
class Ears {
  #frames: FlowFrame[] = [];
  #omitted = 0;
  #wasLost = false;
  flow = (frame: FlowFrame) => void this.#frames.push(frame);
  omitted = (count: number) => void (this.#omitted += count);
  lost = () => void (this.#wasLost = true);
  clear() {
    this.#frames = [];
    this.#omitted = 0;
    this.#wasLost = false;
  }
  take(): Told {
    const taken = { frames: this.#frames, omitted: this.#omitted, wasLost: this.#wasLost };
    this.clear();
    return taken;
  }
}

function Happens() {
  const [paused, pause] = useState(false);
  const { filters } = useLook();
  const { shown, waiting } = useHeld(useHappening(), paused, JSON.stringify(filters));
  const all = [...shown.running.values()].sort((a, b) => b.since - a.since);
  const running = all.slice(0, SHOWN);
  const sampled = [...shown.ended, ...running].find(({ flow }) => flow.sampleRate < 1);
  const url = address("/api/v1/events", happening(filters));
  const source = sourceOf("", url);
  return (
    <section className="card">
      <div className="card-head">
        <h1>{text.title}</h1>
        {shown.omitted > 0 && <span className="small muted">{text.omitted(exact(shown.omitted))}</span>}
        {sampled && <span className="small muted">{text.sampled(percent(sampled.flow.sampleRate))}</span>}
        <span className="push" />
        <button type="button" data-pause="" aria-pressed={paused} onClick={() => pause(!paused)}>
          <span className="with-icon"><Icon name={paused ? "play" : "pause"} size={13} />{paused ? words.map.resume(waiting) : words.map.pause}</span>
        </button>
        <How command={curlOn(url)} title={words.how.events} />
      </div>
      {running.length + shown.ended.length === 0 ? <p className="state muted">{text.none}</p> : (
        <div className="happens" title={source}>
          <div><h2>{text.running} <span className="muted">{text.lastOf(running.length, all.length)}</span></h2><ul className="plain">{running.map((each) => <Runs key={each.flow.flowId} of={each} paused={paused} />)}</ul></div>
          <div><h2>{text.ended}</h2><ul className="plain">{shown.ended.map((each) => <Ended key={each.flow.flowId} of={each} />)}</ul></div>
        </div>
      )}
    </section>
  );
}

function Runs({ of: { flow, since, at }, paused }: { of: Running; paused: boolean }) {
  const now = useNow(paused);
  const { query } = useAddress();
  const elapsed = Math.max(flow.elapsedTime / 1000, now === 0 ? 0 : now - since, at - since);
  const from = { learnt: text.learnt, answered: text.answered, ended: text.endedFrom }[flow.progressFrom];
  return (
    <li>
      <A href={toView(`/flows/${encodeURIComponent(flow.flowId)}`, query)}>
        <span className="mono muted">{flow.flowId.slice(0, 8)}</span>
        <b className="grow">{operationName(flow.operationName)}</b>
        <span className="grow muted">{flow.currentService}</span>
        <progress max={100} value={flow.progress} title={from} aria-label={`${text.progress}: ${from}`} />
        <span className="number">{duration(elapsed * 1000)}</span>
      </A>
    </li>
  );
}

function Ended({ of: { flow } }: { of: Running }) {
  const { query } = useAddress();
  return (
    <li>
      <A href={toView(`/flows/${encodeURIComponent(flow.flowId)}`, query)}>
        <StatusMark status={flow.status ?? ""} />
        <span className="mono muted">{flow.flowId.slice(0, 8)}</span>
        <b className="grow">{operationName(flow.operationName)}</b>
        <span className="muted">{clock(flow.startTime ?? 0)}</span>
        <span className="number">{duration(flow.duration ?? flow.elapsedTime)}</span>
      </A>
    </li>
  );
}

/** The time as it passes, ms; 0 before the first look. */
function useNow(paused: boolean): number {
  const [now, tell] = useState(0);
  useEffect(() => {
    if (paused) return;
    const timer = setInterval(() => tell(Date.now()), SHOW_MS);
    return () => clearInterval(timer);
  }, [paused]);
  return now;
}
