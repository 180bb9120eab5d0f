import { useMemo, useState } from "react";
import { api, isProblem, type Schemas } from "../../api/client";
import { address } from "../../api/how";
import { namer, operationName } from "../../format/names";
import { duration, exact } from "../../format/numbers";
import { moment } from "../../format/time";
import { Copy, How } from "../../parts/How";
import { Icon } from "../../parts/Icon";
import { sourceOf } from "../../parts/source";
import { Answer, Nothing } from "../../parts/States";
import { StatusMark } from "../../parts/StatusMark";
import { filled, useSettings } from "../../settings";
import { save } from "../../map/exports";
import { set, toView, useAddress } from "../../url/address";
import { A } from "../../url/A";
import { words } from "../../words";
import { Failures } from "./Failures";
import { OwnMap } from "./OwnMap";
import { Sequence } from "./Sequence";
import { SpanDetails } from "./SpanDetails";
import { lines } from "./spans";
import { Waterfall } from "./Waterfall";

const { flow: text } = words;
/** A flow that is going on gets more spans. */
const AGAIN_MS = 3_000;
/** What is missing by then doesn't come any more. */
const GOES_ON_MS = 600_000;
/** A flow that has just begun isn't stored yet. */
const MOST_TRIES = 20;
const isUnknown = (error: unknown) => isProblem(error) && error.status === 404;
const goesOn = (metadata: Schemas["OfSpans_FlowAnswer"]["metadata"] | undefined) => metadata?.complete === false && Date.now() - metadata.endTime / 1000 < GOES_ON_MS;

const urls = (flowId: string) => ({ flow: address(`/api/v1/flows/${encodeURIComponent(flowId)}`), spans: address(`/api/v1/traces/${encodeURIComponent(flowId)}`) });

export function FlowView() {
  const { path, query } = useAddress();
  const flowId = decodeURIComponent(path.split("/")[2] ?? "");
  const asked = { params: { path: { flowId } } };
  const flow = api.useQuery("get", "/api/v1/flows/{flowId}", asked, {
    refetchInterval: ({ state }) => (goesOn(state.data?.metadata) ? AGAIN_MS : false),
    retry: (failures, error) => (isUnknown(error) ? failures < MOST_TRIES : !isProblem(error) && failures < 2), retryDelay: AGAIN_MS,
  });
  return (
    <div className="stack">
      <div className="view-head">
        <A className="button" href={toView("/live", query)} onClick={(event) => {
          if (history.length < 2) return;
          event.preventDefault();
          history.back();
        }}><Icon name="back" size={13} /> {text.back}</A>
        <h1>{flow.data ? operationName(flow.data.operationName) : text.title} <span className="muted mono">{flowId.slice(0, 8)}</span></h1>
        <span className="push" />
        <How url={urls(flowId).flow} also={[{ title: words.how.spans, url: urls(flowId).spans }]} />
      </div>
      {flow.isPending && isUnknown(flow.failureReason) ? <Nothing>{text.notYet}</Nothing> : <Answer of={flow}>{(answer) => <Flow of={answer} at={flow.dataUpdatedAt} />}</Answer>}
    </div>
  );
}

/** `at` is when it was answered, ms. */
function Flow({ of, at }: { of: Schemas["OfSpans_FlowAnswer"]; at: number }) {
  const { query } = useAddress();
  const trace = api.useQuery("get", "/api/v1/traces/{traceId}", { params: { path: { traceId: of.flowId } } }, {
    // Together with the flow, and once more when that is whole.
    retry: false, refetchInterval: ({ state }) => (goesOn(of.metadata) || (state.dataUpdatedAt > 0 && state.dataUpdatedAt < at) ? AGAIN_MS : false),
  });
  const all = useMemo(() => lines(trace.data?.spans ?? []), [trace.data]);
  const nodes = useMemo(() => new Map((of.graph?.nodes ?? []).map((node) => [node.id, node])), [of.graph]);
  const name = useMemo(() => namer(nodes), [nodes]);
  const selected = query.get("span") ?? "";
  const select = (span: string) => set({ span: span === selected ? null : span }, { replace: true });
  const span = all.find((line) => line.span.spanId === selected)?.span;
  return (
    <>
      <Information of={of} trace={trace.data} />
      <Notes of={of} skewRepaired={trace.data?.skewRepaired ?? false} />
      <div className="flow-columns" title={sourceOf("", urls(of.flowId).spans)}>
        <section className="card"><h2>{text.sequence}</h2>
          {of.sequence ? <Sequence of={of.sequence} name={name} selected={selected} onSelect={select} /> : <Nothing>{text.noSpans}</Nothing>}
        </section>
        <section className="card"><h2>{text.waterfall}</h2>
          <Answer of={trace}>{(answer) => <Waterfall lines={all} from={answer.startTime} length={Math.max(1, answer.endTime - answer.startTime)} selected={selected} onSelect={select} />}</Answer>
        </section>
      </div>
      {span ? <SpanDetails key={selected} span={span} onClose={() => select(selected)} /> : all.length > 0 && <p className="muted small">{text.select}</p>}
      <Failures lines={all} onSelect={select} />
      {of.graph && <OwnMap graph={of.graph} source={sourceOf("", urls(of.flowId).flow)} />}
    </>
  );
}

function Information({ of: { flowId, metadata, graph }, trace }: { of: Schemas["OfSpans_FlowAnswer"]; trace: Schemas["OfSpans_TraceAnswer"] | undefined }) {
  const { traceLink } = useSettings();
  const [asJson, showJson] = useState(false);
  const elsewhere = filled(traceLink, { traceId: flowId, from: String(metadata.startTime / 1000), to: String(metadata.endTime / 1000) });
  const services = graph?.nodes.filter(({ kind }) => kind === "service").length;
  const facts: [string, React.ReactNode][] = [
    [text.status, <StatusMark key="status" status={metadata.status} withWord />], [text.duration, <b key="duration">{duration(metadata.totalDuration)}</b>],
    [text.start, moment(metadata.startTime)], [text.environment, metadata.environment], [text.services, services === undefined ? "–" : exact(services)],
    [text.spans, exact(metadata.totalSpans)], [text.errors, exact(metadata.errorCount)], ...(metadata.uiEvent === "" ? [] : [[text.event, metadata.uiEvent] as [string, string]]),
  ];
  return (
    <section className="card card-body information" aria-label={text.information}>
      <dl className="strip" title={sourceOf("", urls(flowId).flow)}>{facts.map(([title, value]) => <div key={title}><dt>{title}</dt><dd>{value}</dd></div>)}</dl>
      <div className="row">
        <span className="mono">{flowId}</span><Copy text={flowId} label={text.copyId} />
        {trace && <button type="button" onClick={() => save(`trace-${flowId}.json`, written(trace), "application/json")}>{text.json}</button>}
        {trace && <button type="button" aria-pressed={asJson} onClick={() => showJson(!asJson)}>{text.raw}</button>}
        {elsewhere && <a className="button" href={elsewhere} target="_blank" rel="noreferrer">{text.openElsewhere}</a>}
      </div>
      {asJson && trace && <Raw of={trace} />}
    </section>
  );
}

const written = (trace: Schemas["OfSpans_TraceAnswer"]) => JSON.stringify(trace, null, 2);

function Raw({ of }: { of: Schemas["OfSpans_TraceAnswer"] }) {
  return <pre className="raw" tabIndex={0}>{useMemo(() => written(of), [of])}</pre>;
}

function Notes({ of: { metadata }, skewRepaired }: { of: Schemas["OfSpans_FlowAnswer"]; skewRepaired: boolean }) {
  const notes = [
    metadata.source === "stored" ? text.stored : "", metadata.truncated ? text.truncated : "",
    !metadata.complete ? text.incomplete : "", skewRepaired ? text.skew : "",
  ].filter((note) => note !== "");
  return notes.length > 0 && <ul className="plain notes">{notes.map((note) => <li key={note}>{note}</li>)}</ul>;
}
