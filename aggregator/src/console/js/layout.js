// Places for a graph's vertices: links pull, everything pushes. Places are kept from one poll to the next, so that what
// one looks at stays where it is.

const ROUNDS = 300;
/// A large graph gets fewer rounds, so that the page never stands still for long.
const LEAST = 20;
const PAIRS = 4e7;
const REPEL = 0.012;
const LENGTH = 0.13;

/// Gives a Map of id to [x, y], both from 0 to 1; `known` is that of the last call.
export function layout(vertices, edges, known) {
  const count = vertices.length;
  const [xs, ys] = [new Float64Array(count), new Float64Array(count)];
  vertices.forEach((id, nth) => {
    // New ones begin on a spiral: the same graph always looks the same.
    const angle = nth * 2.4;
    const far = 0.1 + 0.35 * Math.sqrt((nth + 1) / count);
    [xs[nth], ys[nth]] = known.get(id) || [0.5 + far * Math.cos(angle), 0.5 + far * Math.sin(angle)];
  });
  const isNew = vertices.some((id) => !known.has(id)) || count !== known.size;
  if (!isNew) return known;
  const numbers = new Map(vertices.map((id, nth) => [id, nth]));
  const links = edges.map((ends) => ends.map((id) => numbers.get(id)));
  const rounds = Math.max(LEAST, Math.min(ROUNDS, Math.floor(PAIRS / (count * count))));
  for (let round = 0; round < rounds; round += 1) step(xs, ys, links, 0.05 * (1 - round / rounds));
  return fit(new Map(vertices.map((id, nth) => [id, [xs[nth], ys[nth]]])));
}

/// Without a thing made for each pair: there are a million of them in a large graph. Two at one place are pushed apart all
/// the same.
function step(xs, ys, links, most) {
  const count = xs.length;
  const [pushX, pushY] = [new Float64Array(count), new Float64Array(count)];
  const push = (a, b, dx, dy, by) => {
    pushX[a] += dx * by;
    pushY[a] += dy * by;
    pushX[b] -= dx * by;
    pushY[b] -= dy * by;
  };
  const repel = REPEL / Math.max(4, count);
  for (let a = 0; a < count; a += 1) {
    for (let b = 0; b < a; b += 1) {
      const dx = xs[a] - xs[b] || 0.001;
      const dy = ys[a] - ys[b] || 0.001;
      const d = Math.sqrt(dx * dx + dy * dy);
      push(a, b, dx, dy, repel / Math.max(d * d, 0.0001) / d);
    }
  }
  for (const [a, b] of links) {
    const dx = xs[a] - xs[b] || 0.001;
    const dy = ys[a] - ys[b] || 0.001;
    const d = Math.sqrt(dx * dx + dy * dy);
    push(a, b, dx, dy, ((LENGTH - Math.max(d, 0.01)) * 0.4) / d);
  }
  for (let nth = 0; nth < count; nth += 1) {
    const size = Math.sqrt(pushX[nth] * pushX[nth] + pushY[nth] * pushY[nth]) || 1;
    const by = Math.min(size, most) / size;
    xs[nth] += pushX[nth] * by;
    ys[nth] += pushY[nth] * by;
  }
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
