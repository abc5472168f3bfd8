// Places for a graph's vertices: links pull, everything pushes. Places are kept from one poll to the next, so that what
// one looks at stays where it is.

const ROUNDS = 300;
const REPEL = 0.012;
const LENGTH = 0.13;

/// Gives a Map of id to [x, y], both from 0 to 1; `known` is that of the last call.
export function layout(vertices, edges, known) {
  const places = new Map();
  vertices.forEach((id, nth) => {
    // New ones begin on a spiral: the same graph always looks the same.
    const angle = nth * 2.4;
    const far = 0.1 + 0.35 * Math.sqrt((nth + 1) / vertices.length);
    places.set(id, known.get(id) || [0.5 + far * Math.cos(angle), 0.5 + far * Math.sin(angle)]);
  });
  const isNew = vertices.some((id) => !known.has(id)) || vertices.length !== known.size;
  for (let round = 0; isNew && round < ROUNDS; round += 1) step(places, edges, 0.05 * (1 - round / ROUNDS));
  return isNew ? fit(places) : places;
}

function step(places, edges, most) {
  const ids = [...places.keys()];
  const force = new Map(ids.map((id) => [id, [0, 0]]));
  const push = (id, x, y) => {
    const sum = force.get(id);
    sum[0] += x;
    sum[1] += y;
  };
  for (let a = 0; a < ids.length; a += 1) {
    for (let b = 0; b < a; b += 1) {
      const [dx, dy, d] = between(places.get(ids[a]), places.get(ids[b]));
      const by = REPEL / (d * d) / Math.max(4, ids.length);
      push(ids[a], dx * by, dy * by);
      push(ids[b], -dx * by, -dy * by);
    }
  }
  for (const [from, to] of edges) {
    const [dx, dy, d] = between(places.get(from), places.get(to));
    const by = (d - LENGTH) * 0.4;
    push(from, -dx * by, -dy * by);
    push(to, dx * by, dy * by);
  }
  for (const [id, [x, y]] of force) {
    const size = Math.hypot(x, y) || 1;
    const by = Math.min(size, most) / size;
    const place = places.get(id);
    places.set(id, [place[0] + x * by, place[1] + y * by]);
  }
}

/// Direction and distance; two at one place are pushed apart all the same.
function between([ax, ay], [bx, by]) {
  const [dx, dy] = [ax - bx || 0.001, ay - by || 0.001];
  const d = Math.hypot(dx, dy);
  return [dx / d, dy / d, Math.max(d, 0.01)];
}

/// Uses all of the room.
function fit(places) {
  const axis = (nth) => {
    const all = [...places.values()].map((place) => place[nth]);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (v) => (high - low < 0.001 ? 0.5 : 0.06 + ((v - low) / (high - low)) * 0.88);
  };
  const [x, y] = [axis(0), axis(1)];
  return new Map([...places].map(([id, place]) => [id, [x(place[0]), y(place[1])]]));
}
