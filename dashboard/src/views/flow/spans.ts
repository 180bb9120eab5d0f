// The spans of a trace as a tree, told line by line; pure, and fast for a hundred thousand of them.

import type { Schemas } from "../../api/client";

export type Span = Schemas["SpanAnswer"];

export interface Line {
  span: Span;
  depth: number;
  /** Lines below it that belong to it. */
  below: number;
  isCritical: boolean;
}

/** Parents before their children, children by time. Spans whose parent is missing stand at the top. */
export function lines(spans: Span[]): Line[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const children = new Map<string, Span[]>();
  for (const span of spans) {
    const parent = span.parentSpanId != null && known.has(span.parentSpanId) && span.parentSpanId !== span.spanId ? span.parentSpanId : "";
    const list = children.get(parent);
    if (list === undefined) children.set(parent, [span]);
    else list.push(span);
  }
  for (const list of children.values()) list.sort((a, b) => a.startTime - b.startTime || (a.spanId < b.spanId ? -1 : 1));
  const critical = criticalPath(children);
  const found: Line[] = [];
  // A stack of its own: traces may be deeper than the engine's.
  const stack = (children.get("") ?? []).toReversed().map((span) => ({ span, depth: 0 }));
  const seen = new Set<string>();
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (seen.has(next.span.spanId)) continue;
    seen.add(next.span.spanId);
    found.push({ ...next, below: 0, isCritical: critical.has(next.span.spanId) });
    for (const child of (children.get(next.span.spanId) ?? []).toReversed()) stack.push({ span: child, depth: next.depth + 1 });
  }
  return countBelow(found);
}

function countBelow(all: Line[]): Line[] {
  const open: { line: Line; index: number }[] = [];
  const close = (depth: number, at: number) => {
    for (let top = open.at(-1); top !== undefined && top.line.depth >= depth; top = open.at(-1)) {
      top.line.below = at - top.index - 1;
      open.pop();
    }
  };
  all.forEach((line, index) => {
    close(line.depth, index);
    open.push({ line, index });
  });
  close(0, all.length);
  return all;
}

/** What the end of the flow waited for: from the end back, each time the child that ended last before it. */
function criticalPath(children: ReadonlyMap<string, Span[]>): Set<string> {
  const path = new Set<string>();
  const todo = (children.get("") ?? []).slice(0, 1).map((span) => ({ span, end: span.endTime }));
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (path.has(next.span.spanId)) continue;
    path.add(next.span.spanId);
    let end = next.end;
    const byEnd = [...(children.get(next.span.spanId) ?? [])].sort((a, b) => b.endTime - a.endTime);
    for (const child of byEnd) {
      // Nobody waits for what goes on after its parent.
      if (child.endTime > end) continue;
      todo.push({ span: child, end: child.endTime });
      end = child.startTime;
    }
  }
  return path;
}

/** Lines in sight: those below a folded one are not. */
export function unfolded(all: Line[], folded: ReadonlySet<string>): Line[] {
  const shown: Line[] = [];
  for (let index = 0; index < all.length; index += 1) {
    const line = all[index];
    if (line === undefined) break;
    shown.push(line);
    if (folded.has(line.span.spanId)) index += line.below;
  }
  return shown;
}

export interface Failure {
  span: Span;
  type: string;
  message: string;
  stack: string;
}

/** Spans that failed, with what their exceptions say; the deepest first, because that is where it began. */
export function failures(all: Line[]): Failure[] {
  return all.filter(({ span }) => span.status.code === "ERROR").sort((a, b) => b.depth - a.depth).map(({ span }) => {
    const said = span.events.findLast(({ name }) => name === "exception")?.attributes ?? {};
    return {
      span, type: said["exception.type"] ?? span.attributes["error.type"] ?? "",
      message: said["exception.message"] ?? span.status.message, stack: said["exception.stacktrace"] ?? "",
    };
  });
}
