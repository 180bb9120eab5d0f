// The live WebSocket (docs/live-protocol.md): keeps a copy of the graph, reconnects, resumes.

const AGAIN_MS = [500, 1000, 2000, 4000, 8000];
const SILENT_MS = 6000;

export class Feed {
  #listener;
  #socket = null;
  #filters = {};
  #failures = 0;
  #heardAt = 0;
  #timer = 0;

  // listener: { graph(state), flow(type, data), connection(words | null) }
  constructor(listener) {
    this.#listener = listener;
    this.state = emptyState();
    setInterval(() => this.#checkSilence(), 1000);
  }

  // Begins anew with other filters.
  watch(filters) {
    this.#filters = filters;
    this.state = emptyState();
    if (this.#socket?.readyState === WebSocket.OPEN) this.#subscribe();
    else this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#socket?.close();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`);
    this.#socket = socket;
    this.#heardAt = Date.now();
    socket.onopen = () => this.#subscribe();
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = () => {
      if (this.#socket === socket) this.#again();
    };
  }

  #again() {
    this.#socket = null;
    const wait = AGAIN_MS[Math.min(this.#failures, AGAIN_MS.length - 1)];
    this.#failures += 1;
    this.#listener.connection("Connection lost, trying again");
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #subscribe() {
    const message = { type: "subscribe", id: "live", filters: this.#filters };
    if (this.state.loaded) message.resume = this.state.sequences;
    this.#socket.send(JSON.stringify(message));
  }

  #hear({ type, data }) {
    this.#heardAt = Date.now();
    this.#failures = 0;
    if (type === "snapshot" || type === "graph_delta") {
      apply(this.state, type, data);
      this.#listener.connection(null);
      this.#listener.graph(this.state);
    } else if (type === "flow_complete") {
      this.#listener.flow(data);
    } else if (type === "error") {
      this.#listener.connection(data.message);
    }
  }

  // A server that is up says something every two seconds.
  #checkSilence() {
    if (this.#socket && Date.now() - this.#heardAt > SILENT_MS) {
      const socket = this.#socket;
      this.#again();
      socket.close();
    }
  }
}

function emptyState() {
  return { loaded: false, sequences: {}, staleness: null, window: null, totals: null, beingNamed: 0, nodes: new Map(), edges: new Map() };
}

export const edgeKey = (edge) => JSON.stringify([edge.from, edge.to]);

// Frames hold new values, not differences: applying one twice does no harm.
function apply(state, type, data) {
  if (type === "snapshot") {
    state.nodes.clear();
    state.edges.clear();
  }
  for (const id of data.removedNodes ?? []) state.nodes.delete(id);
  for (const edge of data.removedEdges ?? []) state.edges.delete(edgeKey(edge));
  for (const node of data.nodes) state.nodes.set(node.id, node);
  for (const edge of data.edges) state.edges.set(edgeKey(edge), edge);
  const { sequences, staleness, window, totals, beingNamed } = data;
  Object.assign(state, { loaded: true, sequences, staleness, window, totals, beingNamed });
}
