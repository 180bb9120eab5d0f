import { useRef } from "react";
import { api, type Schemas } from "../../api/client";
import { address, curlPost } from "../../api/how";
import type { Region } from "../../charts/Heatmap";
import { exact, percent } from "../../format/numbers";
import { useLook } from "../../look";
import { How } from "../../parts/How";
import { Icon } from "../../parts/Icon";
import { useSource } from "../../parts/source";
import { useFocusBack } from "../../parts/useFocusBack";
import { Answer, Nothing } from "../../parts/States";
import { FAILED, given, timeQuery, type Filters } from "../../url/filters";
import { words } from "../../words";
import { Unused } from "../Unused";

const { errors: text } = words;
const KINDS = ["attributes", "services", "versions", "endpoints"] as const;
const SHOWN = 12;

/** What sets the chosen flows apart from all others of the same filters. */
export function Differs({ region, onClose }: { region: Region | null; onClose: () => void }) {
  const { filters } = useLook();
  const body = question(filters, region);
  const box = useRef<HTMLElement>(null);
  useFocusBack(box);
  const diff = api.useQuery("post", "/api/v1/diff", { body }, { staleTime: 60_000 });
  const source = useSource(address("/api/v1/diff"));
  return (
    <section ref={box} className="card" aria-label={text.differs}>
      <div className="card-head">
        <h2>{text.differs}</h2>
        {diff.data && <span className="small muted" title={source}><i className="side-mark" /> {text.differsFlows(exact(diff.data.selection.flows))} <i className="side-mark baseline" /> {text.differsOthers(exact(diff.data.baseline.flows))}</span>}
        <Unused of={["status"]} />
        <span className="push" />
        <How command={curlPost(address("/api/v1/diff"), body)} />
        <button type="button" className="bare" data-escape="" title={text.clear} onClick={onClose}><Icon name="close" /><span className="unseen">{text.clear}</span></button>
      </div>
      <Answer of={diff}>{(answer) => <>
        <LookedAt of={answer} />
        {answer.selection.sampled > 0 && answer.baseline.sampled > 0 && <Found of={answer} source={source} />}
      </>}</Answer>
    </section>
  );
}

export function question({ operation, environment, service, namespace, cluster, probes, time }: Filters, region: Region | null): Schemas["DiffQuestion"] {
  const all = { ...given({ operation, environment, service, namespace, cluster, probes }), ...timeQuery(time) };
  if (region === null) return { selection: { ...all, status: FAILED }, baseline: all };
  // Cells are of when flows ended, and are asked for by when they began: at most as long before as the slowest of them took.
  const when = { window: null, startTime: String(Math.max(0, Math.round(region.from - region.slow * 1000))), endTime: String(Math.round(region.to - region.fast * 1000)) };
  const long = { minDuration: `${Math.floor(region.fast * 1000)}`, maxDuration: `${Math.ceil(region.slow * 1000)}` };
  return { selection: { ...all, ...when, ...long }, baseline: all };
}

/** Less than this is no difference to act on, or may be chance (one in a hundred). */
const says = ({ difference, significance }: Schemas["Difference"]) => Math.abs(difference) >= 0.05 && Math.abs(significance) >= 2.58;

/** How much of both sides the shares are of, and why there are none. */
function LookedAt({ of: { selection, baseline } }: { of: Schemas["DiffAnswer"] }) {
  const few = [selection, baseline].some(({ flows, sampled }) => sampled < flows);
  const none = [selection, baseline].some(({ flows }) => flows === 0) ? text.noneToCompare : [selection, baseline].some(({ sampled }) => sampled === 0) ? text.noneLookedAt : "";
  const notes = [few ? text.lookedAt(exact(selection.sampled), exact(selection.flows), exact(baseline.sampled), exact(baseline.flows)) : "", none].filter((note) => note !== "");
  return notes.map((note) => <p key={note} className="small muted card-pad">{note}</p>);
}

function Found({ of: answer, source }: { of: Schemas["DiffAnswer"]; source: string }) {
  const of = Object.fromEntries(KINDS.map((kind) => [kind, answer[kind].filter(says)])) as Record<(typeof KINDS)[number], Schemas["Difference"][]>;
  if (KINDS.every((kind) => of[kind].length === 0)) return <Nothing>{text.differsNone}</Nothing>;
  return (
    <div className="differs-columns card-body">
      {KINDS.filter((kind) => of[kind].length > 0).map((kind) => (
        <div key={kind} className="stack tight">
          <h3>{text[kind]}</h3>
          <ul className="plain differs">{of[kind].slice(0, SHOWN).map((each) => <Difference key={`${each.scope} ${each.key} ${each.value}`} of={each} source={source} />)}</ul>
        </div>
      ))}
    </div>
  );
}

function Difference({ of: { key, value, selectionShare, baselineShare }, source }: { of: Schemas["Difference"]; source: string }) {
  const bar = (share: number, kind: string) => <i className={kind} ref={(element) => element?.style.setProperty("width", `${share * 100}%`)} />;
  return (
    <li title={`${text.share}: ${percent(selectionShare)}, ${text.others}: ${percent(baselineShare)}\n${source}`}>
      <span className="mono differs-name">{key !== "" && <span className="muted">{key} = </span>}{value}</span>
      <span className="differs-bars">{bar(selectionShare, "chosen")}{bar(baselineShare, "others")}</span>
      <span className="small number"><b>{percent(selectionShare)}</b><br /><span className="muted">{percent(baselineShare)}</span></span>
    </li>
  );
}
