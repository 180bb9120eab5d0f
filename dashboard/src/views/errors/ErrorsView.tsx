import { useState } from "react";
import { api } from "../../api/client";
import { address } from "../../api/how";
import { useMaySeeFlows } from "../../api/me";
import { Heatmap, type Region } from "../../charts/Heatmap";
import { exact, latency } from "../../format/numbers";
import { clock } from "../../format/time";
import { useLook } from "../../look";
import { How } from "../../parts/How";
import { useSource } from "../../parts/source";
import { Answer, Loading, Nothing } from "../../parts/States";
import { askAgainMs, given, timeQuery } from "../../url/filters";
import { words } from "../../words";
import { Unused } from "../Unused";
import { Differs } from "./Differs";
import { Groups } from "./Groups";
import { useHeat } from "./useHeat";

const { errors: text } = words;

export function ErrorsView() {
  const maySee = useMaySeeFlows();
  const { filters: { operation, service } } = useLook();
  const [drawn, choose] = useState<Region | null>(null);
  // Cells of a service are of its requests, not of flows; those of an operation are of all its flows.
  const canChoose = operation !== "" && service === "";
  const region = canChoose ? drawn : null;
  const [failedOnly, compareFailed] = useState(false);
  if (maySee === undefined) return <Loading />;
  if (!maySee) return <section className="card"><h1 className="card-head">{text.title}</h1><Nothing>{words.panel.notAllowed}</Nothing></section>;
  return (
    <div className="stack">
      <h1 className="unseen">{text.title}</h1>
      <Durations region={region} choose={canChoose ? (next) => {
        choose(next);
        compareFailed(false);
      } : undefined} failedOnly={failedOnly} compareFailed={() => {
        choose(null);
        compareFailed(!failedOnly);
      }} />
      {(region !== null || failedOnly) && <Differs region={region} onClose={() => {
        choose(null);
        compareFailed(false);
      }} />}
      <All />
    </div>
  );
}

function Durations({ region, choose, failedOnly, compareFailed }: { region: Region | null; choose: ((region: Region | null) => void) | undefined; failedOnly: boolean; compareFailed: () => void }) {
  const { heat, query, isAsked } = useHeat();
  const { filters: { service } } = useLook();
  const url = address("/api/v1/heatmap", query);
  const source = useSource(url);
  return (
    <section className="card">
      <div className="card-head">
        <h2>{service === "" ? text.heatmap : text.heatmapOf(service)}</h2>
        {region && <span className="small muted">{text.selection(clock(region.from), clock(region.to), latency(region.fast), latency(region.slow))}</span>}
        {isAsked && <Unused of={[...(service === "" ? ["namespace" as const, "cluster" as const] : []), "status"]} />}
        <span className="push" />
        <button type="button" aria-pressed={failedOnly} onClick={compareFailed}>{text.failedOnly}</button>
        {isAsked && <How url={url} />}
      </div>
      <div className="card-body">
        {isAsked ? <Answer of={heat}>{(map) => <Heatmap of={map} source={source} height={210} {...(choose && { region, onRegion: choose })} />}</Answer> : <Nothing>{text.heatmapNeeds}</Nothing>}
      </div>
    </section>
  );
}

function All() {
  const { filters: { operation, environment, service, namespace, cluster, status, probes, time } } = useLook();
  const query = { ...given({ operation, environment, service, namespace, cluster, status, probes }), ...timeQuery(time) };
  const errors = api.useQuery("get", "/api/v1/errors", { params: { query } }, { refetchInterval: askAgainMs(time), placeholderData: (before) => before });
  const url = address("/api/v1/errors", query);
  const source = useSource(url);
  return (
    <section className="card">
      <div className="card-head">
        <h2>{text.groups}</h2>
        {errors.data && <span className="small muted" data-figure="errors" title={source}>{text.total(exact(errors.data.total), exact(errors.data.groupCount))}</span>}
        {errors.data?.truncated && <span className="small warn">{text.truncated}</span>}
        <span className="push" /><How url={url} />
      </div>
      <Answer of={errors}>{(answer) => <Groups of={answer.errors} source={source} />}</Answer>
    </section>
  );
}
