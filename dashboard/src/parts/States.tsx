// What stands where numbers would: loading, a refusal, nothing.

import { Component, type ReactNode } from "react";
import { isProblem } from "../api/client";
import { useLook } from "../look";
import { words } from "../words";

export function Loading({ what = words.empty.loading }: { what?: string }) {
  return <p className="state muted" role="status">{what} …</p>;
}

export function Refused({ error, again }: { error: unknown; again?: () => void }) {
  const { problem } = words;
  return (
    <div className="state refused" role="alert">
      <strong>{isProblem(error) ? error.detail || error.title : problem.network}</strong>
      <p className="muted">{isProblem(error) ? (error.status === 503 ? problem.stillWorks : "") : problem.networkHelp}</p>
      {again && <button type="button" onClick={again}>{problem.again}</button>}
    </div>
  );
}

export function Nothing({ children }: { children: ReactNode }) {
  return <p className="state muted">{children}</p>;
}

export function Unloaded() {
  return (
    <div className="state refused" role="alert">
      <strong>{words.problem.unloaded}</strong>
      <button type="button" onClick={() => location.reload()}>{words.problem.again}</button>
    </div>
  );
}

interface MayBeStale {
  staleness?: { fresh: boolean; message: string };
}

/** That an answer may lack something. What graphs lack, the light in the bar may say already. */
export function Stale({ of }: { of: object }) {
  const { graph } = useLook();
  const { staleness } = of as MayBeStale;
  if (staleness === undefined || staleness.fresh) return null;
  const isOfGraphs = "loadedFrom" in staleness;
  return isOfGraphs && graph.staleness?.fresh === false ? null : <p className="small warn card-pad" role="status">{staleness.message}</p>;
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

/** An answer, or what stands in its place. What was known stays while it is asked again. */
export function Answer<T extends object>({ of, children }: { of: Asked<T>; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) {
    return <>{of.error != null && <Refused error={of.error} again={() => void of.refetch()} />}<Stale of={of.data} />{children(of.data)}</>;
  }
  if (of.error != null) return <Refused error={of.error} again={() => void of.refetch()} />;
  return of.isPending ? <Loading /> : null;
}

/** A part that fails takes nothing else down. */
export class Boundary extends Component<{ children: ReactNode }, { failed: string | null }> {
  override state: { failed: string | null } = { failed: null };
  static getDerivedStateFromError(error: unknown) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }
  override render() {
    if (this.state.failed === null) return this.props.children;
    return (
      <div className="state refused" role="alert">
        <strong>{words.crash}</strong>
        <p className="mono">{this.state.failed}</p>
        <button type="button" onClick={() => this.setState({ failed: null })}>{words.problem.again}</button>
      </div>
    );
  }
}
