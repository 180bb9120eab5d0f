// Numbers and names as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

// 0.03, 1.2, 84, 1,240: two digits that matter, never more.
export function number(value) {
  if (value === 0) return "0";
  if (value < 0.095) return value.toFixed(2);
  if (value < 9.95) return value.toFixed(1);
  return whole.format(value);
}

// Whole where it can be: sampling makes fractions of calls.
export const count = (value) => (Number.isInteger(value) ? whole.format(value) : number(value));

export const rate = (perSecond) => `${number(perSecond)}/s`;

export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 0.095) return `${Math.round(ms * 1000)} µs`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 995) return `${Math.round(ms)} ms`;
  return ms < 59_950 ? `${(ms / 1000).toFixed(ms < 9_950 ? 2 : 1)} s` : `${number(ms / 60_000)} min`;
}

export function percent(share) {
  if (share === 0) return "0 %";
  if (share < 0.001) return "< 0.1 %";
  return share < 0.0995 ? `${(share * 100).toFixed(1)} %` : `${Math.round(share * 100)} %`;
}

// Which of three steps of trouble a share of errors is.
export const trouble = (share) => (share >= 0.05 ? "many" : share >= 0.01 ? "some" : "");

export const operationName = (name) =>
  name === "unknown" ? "unknown (being named)" : name;

// Where a service lives, to tell it from others of its name.
export const whereabouts = ({ cluster, namespace }) => [cluster, namespace].filter(Boolean).join("/");

// Names that several nodes have.
export function sharedNames(nodes) {
  const seen = new Set();
  const shared = new Set();
  for (const { service: { name } } of nodes) (seen.has(name) ? shared : seen).add(name);
  return shared;
}

export const windowWords = { "10s": "10 seconds", "1m": "minute", "5m": "5 minutes", "15m": "15 minutes" };
