// The map as a table: the same edges, sortable, for eyes and for screen readers.

import { count, milliseconds, number, percent, sharedNames, trouble, whereabouts } from "./words.js";

const COLUMNS = [
  ["From", (edge, name) => name(edge.from), null],
  ["To", (edge, name) => name(edge.to), null],
  ["Calls/s", (edge) => edge.rate, number],
  ["Calls", (edge) => edge.callCount, count],
  ["Errors", (edge) => edge.errorRate, percent],
  ["Retries", (edge) => edge.retryCount, count],
  ["Rejected", (edge) => edge.rejected, count],
  ["Timed out", (edge) => edge.timeouts, count],
  ["p50", (edge) => edge.p50Latency, milliseconds],
  ["p95", (edge) => edge.p95Latency, milliseconds],
  ["p99", (edge) => edge.p99Latency, milliseconds],
  ["Both sides", (edge) => (edge.latencySide === "caller" ? null : edge.confidence), (share) => (share === null ? "–" : percent(share))],
];
const ERRORS = 4;

export class Table {
  #head;
  #body;
  #rows = new Map();
  #column = 2;
  #descending = true;
  #state = null;

  constructor(head, body) {
    this.#head = head;
    this.#body = body;
    COLUMNS.forEach(([title], index) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.addEventListener("click", () => this.#sortBy(index));
      cell.append(button);
      head.append(cell);
    });
    this.#showOrder();
  }

  show(state) {
    this.#state = state;
    for (const [key, row] of this.#rows) {
      if (state.edges.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    const shared = sharedNames(state.nodes.values());
    const name = (id) => {
      const service = state.nodes.get(id)?.service;
      if (!service?.name) return id;
      const where = shared.has(service.name) ? whereabouts(service) : "";
      return where === "" ? service.name : `${service.name} (${where})`;
    };
    const read = COLUMNS[this.#column][1];
    const order = [...state.edges].sort(([keyA, a], [keyB, b]) => compare(read(a, name), read(b, name), this.#descending) || (keyA < keyB ? -1 : 1));
    order.forEach(([key, edge], index) => {
      const row = this.#row(key);
      fill(row, edge, name, state);
      if (this.#body.children[index] !== row) this.#body.insertBefore(row, this.#body.children[index] ?? null);
    });
  }

  #row(key) {
    let row = this.#rows.get(key);
    if (!row) {
      row = document.createElement("tr");
      COLUMNS.forEach(() => row.append(document.createElement("td")));
      this.#rows.set(key, row);
    }
    return row;
  }

  #sortBy(index) {
    this.#descending = this.#column === index ? !this.#descending : index > 1;
    this.#column = index;
    this.#showOrder();
    if (this.#state) this.show(this.#state);
  }

  #showOrder() {
    [...this.#head.children].forEach((cell, index) => {
      if (index === this.#column) cell.setAttribute("aria-sort", this.#descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
  }
}

function compare(a, b, descending) {
  const order = typeof a === "string" ? a.localeCompare(b) : (a ?? -1) - (b ?? -1);
  return descending ? -order : order;
}

function fill(row, edge, name, state) {
  COLUMNS.forEach(([, read, words], index) => {
    const cell = row.children[index];
    const value = read(edge, name);
    const text = words ? words(value) : value;
    if (cell.textContent !== text) cell.textContent = text;
    if (index < 2) cell.title = state.nodes.get(index === 0 ? edge.from : edge.to)?.id ?? "";
  });
  const step = trouble(edge.errorRate);
  row.children[ERRORS].className = step === "many" ? "bad" : step === "some" ? "warn" : "";
}
