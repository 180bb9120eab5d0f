// The live WebSocket (docs/live-protocol.md): keeps a copy of the graph, reconnects, resumes where it was.

import type { Schemas } from "../api/client";
import { EMPTY, applied, type GraphFrame, type GraphState } from "./state";

const AGAIN_MS = [300, 1000, 2000, 4000, 8000];
/** A server that is up says something every two seconds. */
const SILENT_MS = 6000;
const ID = "live";

export type LiveFilters = Schemas["LiveFilters"];
export type LiveFlow = Schemas["LiveFlow"] & Partial<Schemas["LiveOutcome"]>;
export type FlowFrame = { type: "flow_start" | "flow_update" | "flow_complete"; flow: LiveFlow; at: number };
export type Connection = { state: "connecting" | "open" } | { state: "lost"; tries: number } | { state: "refused"; message: string };

export interface Listener {
  graph(state: GraphState): void;
  flow(frame: FlowFrame): void;
  omitted(count: number): void;
  connection(connection: Connection): void;
}

interface Frame {
  type: string;
  id: string;
  data: unknown;
}

export class Feed {
  #listener: Listener;
  #filters: Partial<LiveFilters>;
  #socket: WebSocket | null = null;
  #state = EMPTY;
  #failures = 0;
  #heardAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval>;

  constructor(filters: Partial<LiveFilters>, listener: Listener) {
    this.#filters = filters;
    this.#listener = listener;
    this.#watch = setInterval(() => this.#checkSilence(), 1000);
    listener.connection({ state: "connecting" });
    this.#connect();
  }

  close() {
    clearInterval(this.#watch);
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #connect() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`);
    this.#socket = socket;
    this.#heardAt = Date.now();
    socket.onopen = () => this.#subscribe(socket);
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data as string) as Frame);
    socket.onclose = () => {
      if (this.#socket === socket) this.#again();
    };
  }

  #again() {
    this.#socket = null;
    const wait = AGAIN_MS[Math.min(this.#failures, AGAIN_MS.length - 1)];
    this.#failures += 1;
    this.#listener.connection({ state: "lost", tries: this.#failures });
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #subscribe(socket: WebSocket) {
    const resume = this.#state.loaded ? { resume: this.#state.sequences } : {};
    socket.send(JSON.stringify({ type: "subscribe", id: ID, filters: this.#filters, ...resume }));
  }

  #hear({ type, data }: Frame) {
    this.#heardAt = Date.now();
    this.#failures = 0;
    switch (type) {
      case "snapshot":
      case "graph_delta":
        this.#state = applied(this.#state, data as GraphFrame, type === "snapshot");
        this.#listener.connection({ state: "open" });
        { this.#listener.graph(this.#state); return; }
      case "flow_start":
      case "flow_update":
      case "flow_complete":
        { this.#listener.flow({ type, flow: data as LiveFlow, at: Date.now() }); return; }
      case "flows_omitted":
        { this.#listener.omitted((data as { count: number }).count); return; }
      case "error":
        { this.#listener.connection({ state: "refused", message: (data as { message: string }).message }); return; }
    }
  }

  #checkSilence() {
    if (this.#socket === null || Date.now() - this.#heardAt < SILENT_MS) return;
    const socket = this.#socket;
    this.#again();
    socket.close();
  }
}
