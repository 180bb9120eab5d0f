// Where nodes stand and edges run: layers from left to right by the longest path from the callers. Depends on who
// calls whom and on the order before, never on numbers, so nothing moves while numbers change.

export const NODE_WIDTH = 162;
export const NODE_HEIGHT = 46;
const GAP_X = 130;
const GAP_Y = 30;
const DUMMY_HEIGHT = 26;
const MARGIN = 18;
const SWEEPS = 24;

// nodes: [{ id, kind }], edges: [{ key, from, to }], before: Map id → y of an earlier layout.
export function layout(nodes, edges, before = new Map()) {
  if (nodes.length === 0) return { places: new Map(), routes: new Map(), labels: new Map(), width: 0, height: 0 };
  const ids = nodes.map((node) => node.id).sort();
  const kinds = new Map(nodes.map((node) => [node.id, node.kind]));
  const straight = edges.filter((edge) => edge.from !== edge.to && kinds.has(edge.from) && kinds.has(edge.to));
  straight.sort((a, b) => (a.key < b.key ? -1 : 1));
  const forward = withoutCycles(ids, straight, kinds);
  const layerOf = longestPaths(ids, forward, kinds);
  const chains = forward.map((edge) => chain(edge, layerOf));
  const layers = fill(ids, layerOf, chains, before);
  order(layers, chains);
  const items = place(layers, chains);
  return draw(ids, layerOf, items, chains, edges);
}

// Turns round the edges that close a cycle, found depth first from whoever is called by nobody.
function withoutCycles(ids, edges, kinds) {
  const out = new Map(ids.map((id) => [id, []]));
  const called = new Set();
  for (const edge of edges) {
    out.get(edge.from).push(edge);
    called.add(edge.to);
  }
  const first = (id) => (["client", "user"].includes(kinds.get(id)) ? 0 : called.has(id) ? 2 : 1);
  const state = new Map();
  const turned = new Set();
  const visit = (id) => {
    state.set(id, "open");
    for (const edge of out.get(id)) {
      if (state.get(edge.to) === "open") turned.add(edge);
      else if (!state.has(edge.to)) visit(edge.to);
    }
    state.set(id, "done");
  };
  for (const id of [...ids].sort((a, b) => first(a) - first(b) || (a < b ? -1 : 1))) if (!state.has(id)) visit(id);
  return edges.map((edge) =>
    turned.has(edge) ? { key: edge.key, from: edge.to, to: edge.from, turned: true } : { ...edge, turned: false });
}

function longestPaths(ids, edges, kinds) {
  const incoming = new Map(ids.map((id) => [id, 0]));
  const out = new Map(ids.map((id) => [id, []]));
  for (const edge of edges) {
    incoming.set(edge.to, incoming.get(edge.to) + 1);
    out.get(edge.from).push(edge.to);
  }
  const layerOf = new Map(ids.map((id) => [id, 0]));
  const ready = ids.filter((id) => incoming.get(id) === 0);
  const sources = [...ready];
  while (ready.length > 0) {
    const id = ready.shift();
    for (const to of out.get(id)) {
      layerOf.set(to, Math.max(layerOf.get(to), layerOf.get(id) + 1));
      incoming.set(to, incoming.get(to) - 1);
      if (incoming.get(to) === 0) ready.push(to);
    }
  }
  // Who calls without being called, and is no client, stands next to what it calls.
  for (const id of sources) {
    if (!["client", "user"].includes(kinds.get(id)) && out.get(id).length > 0) {
      layerOf.set(id, Math.max(0, Math.min(...out.get(id).map((to) => layerOf.get(to))) - 1));
    }
  }
  return layerOf;
}

// An edge over several layers runs through a dummy in each layer between.
function chain(edge, layerOf) {
  const stops = [edge.from];
  for (let layer = layerOf.get(edge.from) + 1; layer < layerOf.get(edge.to); layer += 1) stops.push(`${edge.key}#${layer}`);
  stops.push(edge.to);
  return { ...edge, stops };
}

function fill(ids, layerOf, chains, before) {
  const layers = [];
  const add = (layer, id, height) => (layers[layer] ??= []).push({ id, height, above: [], below: [], y: before.get(id) ?? null });
  for (const id of ids) add(layerOf.get(id), id, NODE_HEIGHT);
  for (const { from, stops } of chains) {
    stops.slice(1, -1).forEach((id, index) => add(layerOf.get(from) + 1 + index, id, DUMMY_HEIGHT));
  }
  for (let layer = 0; layer < layers.length; layer += 1) layers[layer] ??= [];
  const items = new Map(layers.flat().map((item) => [item.id, item]));
  for (const { stops } of chains) {
    for (let index = 1; index < stops.length; index += 1) {
      items.get(stops[index - 1]).below.push(items.get(stops[index]));
      items.get(stops[index]).above.push(items.get(stops[index - 1]));
    }
  }
  return layers;
}

// Sweeps over the layers, each time by the mean place of the neighbours; the order with the fewest crossings stays.
function order(layers, chains) {
  for (const layer of layers) {
    if (layer.some((item) => item.y !== null)) layer.sort((a, b) => (a.y ?? Infinity) - (b.y ?? Infinity));
    layer.forEach((item, index) => (item.at = index));
  }
  let best = remembered(layers);
  for (let sweep = 0; sweep < SWEEPS && best.crossings > 0; sweep += 1) {
    const side = sweep % 2 === 0 ? "above" : "below";
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      for (const item of layer) item.wish = item[side].length > 0 ? mean(item[side].map((other) => other.at)) : item.at;
      layer.sort((a, b) => a.wish - b.wish || a.at - b.at);
      layer.forEach((item, index) => (item.at = index));
    }
    const now = remembered(layers);
    if (now.crossings < best.crossings) best = now;
  }
  best.orders.forEach((items, index) => {
    layers[index].splice(0, layers[index].length, ...items);
    items.forEach((item, at) => (item.at = at));
  });
}

function remembered(layers) {
  let crossings = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((item) => item.below.map((other) => other.at).sort((a, b) => a - b));
    for (let i = 0; i < ends.length; i += 1) for (let j = i + 1; j < ends.length; j += 1) if (ends[i] > ends[j]) crossings += 1;
  }
  return { crossings, orders: layers.map((layer) => [...layer]) };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Every item as near to the mean of its neighbours as the order allows.
function place(layers) {
  for (const layer of layers) {
    let y = 0;
    for (const item of layer) {
      item.y = y + item.height / 2;
      y += item.height + GAP_Y;
    }
    const middle = y / 2;
    for (const item of layer) item.y -= middle;
  }
  for (let round = 0; round < 40; round += 1) {
    const sides = round < 30 ? [round % 2 === 0 ? "above" : "below"] : ["above", "below"];
    for (const layer of round % 2 === 0 ? layers : [...layers].reverse()) settle(layer, sides);
  }
  return new Map(layers.flat().map((item) => [item.id, item]));
}

// Least squares under "stay below the one before": pool neighbours that would overlap.
function settle(layer, sides) {
  const pools = [];
  let offset = 0;
  layer.forEach((item, index) => {
    if (index > 0) offset += (layer[index - 1].height + item.height) / 2 + GAP_Y;
    const neighbours = sides.flatMap((side) => item[side]);
    const wish = neighbours.length > 0 ? mean(neighbours.map((other) => other.y)) : item.y;
    // Dummies pull harder, which keeps long edges straight.
    let pool = { sum: 0, weight: 0, items: [[item, offset]] };
    pool.weight = item.height === DUMMY_HEIGHT ? 2 : 1;
    pool.sum = (wish - offset) * pool.weight;
    while (pools.length > 0 && pools.at(-1).sum / pools.at(-1).weight > pool.sum / pool.weight) {
      const last = pools.pop();
      pool = { sum: last.sum + pool.sum, weight: last.weight + pool.weight, items: [...last.items, ...pool.items] };
    }
    pools.push(pool);
  });
  for (const pool of pools) for (const [item, at] of pool.items) item.y = pool.sum / pool.weight + at;
}

function draw(ids, layerOf, items, chains, edges) {
  const top = Math.min(...[...items.values()].map((item) => item.y - item.height / 2));
  const x = (layer) => MARGIN + layer * (NODE_WIDTH + GAP_X);
  const y = (id) => Math.round(items.get(id).y - top + MARGIN);
  const places = new Map(ids.map((id) => [id, { x: x(layerOf.get(id)), y: y(id) }]));
  const ports = spread(chains, y);
  const routes = new Map();
  for (const each of chains) {
    const first = layerOf.get(each.from);
    const points = [{ x: x(first) + NODE_WIDTH, y: y(each.from) + ports.get(`${each.key}>`) }];
    each.stops.slice(1, -1).forEach((id, index) => {
      const left = x(first + 1 + index);
      points.push({ x: left, y: y(id) }, { x: left + NODE_WIDTH, y: y(id) });
    });
    points.push({ x: x(layerOf.get(each.to)), y: y(each.to) + ports.get(`${each.key}<`) });
    routes.set(each.key, { points, turned: each.turned, self: false });
  }
  for (const edge of edges) if (edge.from === edge.to && places.has(edge.from)) routes.set(edge.key, loop(places.get(edge.from)));
  const layers = Math.max(0, ...layerOf.values()) + 1;
  const bottom = Math.max(...[...items.values()].map((item) => item.y + item.height / 2));
  return { places, routes, width: x(layers) - GAP_X + MARGIN, height: Math.round(bottom - top + 2 * MARGIN), labels: labels(routes) };
}

// Edges leave and enter one node at different heights, in the order of where they come from or go to.
function spread(chains, y) {
  const ports = new Map();
  const ends = new Map();
  for (const each of chains) {
    for (const [node, next, mark] of [[each.from, each.stops[1], ">"], [each.to, each.stops.at(-2), "<"]]) {
      const side = JSON.stringify([node, mark]);
      if (!ends.has(side)) ends.set(side, []);
      ends.get(side).push({ port: `${each.key}${mark}`, y: y(next) });
    }
  }
  for (const side of ends.values()) {
    side.sort((a, b) => a.y - b.y || (a.port < b.port ? -1 : 1));
    const step = Math.min(9, (NODE_HEIGHT - 14) / Math.max(1, side.length - 1));
    side.forEach((end, index) => ports.set(end.port, (index - (side.length - 1) / 2) * step));
  }
  return ports;
}

function loop({ x, y }) {
  const [right, top] = [x + NODE_WIDTH, y - NODE_HEIGHT / 2];
  return { points: [{ x: right - 34, y: top }, { x: right - 12, y: top }], turned: false, self: true };
}

// One free place for each label, in one of the gaps its edge runs through. Edges with little choice choose first.
function labels(routes) {
  const taken = [];
  const found = new Map();
  const byLength = [...routes].sort(([, a], [, b]) => a.points.length - b.points.length);
  for (const [key, { points, self }] of byLength) {
    if (self) {
      found.set(key, { x: (points[0].x + points[1].x) / 2, y: points[0].y - 22 });
      continue;
    }
    const spots = [];
    for (let index = points.length - 2; index >= 0; index -= 2) {
      for (const t of ALONG) spots.push(onCurve(points[index], points[index + 1], t));
    }
    const best = spots.map((spot, rank) => ({ spot, cost: overlap(spot, taken) + rank })).sort((a, b) => a.cost - b.cost)[0].spot;
    taken.push(best);
    found.set(key, best);
  }
  return found;
}

const ALONG = [0.5, 0.45, 0.55, 0.4, 0.6, 0.34, 0.66, 0.28, 0.7];

const overlap = (spot, taken) => taken.reduce((sum, other) => {
  const [dx, dy] = [92 - Math.abs(spot.x - other.x), 26 - Math.abs(spot.y - other.y)];
  return sum + (dx > 0 && dy > 0 ? dx * dy : 0);
}, 0);

// A point of the cubic curve that leaves and arrives level.
function onCurve(a, b, t) {
  const bend = (b.x - a.x) * 0.45;
  const at = (p0, p1, p2, p3) => (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t * t * p2 + t ** 3 * p3;
  return { x: at(a.x, a.x + bend, b.x - bend, b.x), y: at(a.y, a.y, b.y, b.y) };
}

export function path({ points, self }) {
  if (self) {
    const [a, b] = points;
    return `M${a.x} ${a.y}C${a.x} ${a.y - 20} ${b.x} ${b.y - 20} ${b.x} ${b.y}`;
  }
  let text = `M${points[0].x} ${points[0].y}`;
  for (let index = 1; index < points.length; index += 1) {
    const [a, b] = [points[index - 1], points[index]];
    const bend = (b.x - a.x) * 0.45;
    text += index % 2 === 1 ? `C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}` : `L${b.x} ${b.y}`;
  }
  return text;
}
