/** The four charts: each takes what `verdict.explore` found and returns the inside of an SVG and its description. */
(function (ntkEoc) {
  "use strict";

  const { axes } = ntkEoc.axes;
  const { growth, edgeCurve } = ntkEoc.meanfield;
  const { number, exponential, correlation, count } = ntkEoc.text;
  const STEPS = 60; // layers of a cobweb; later ones are not seen
  const FROM = 8; // the depth from which on a law of large depths is drawn

  const range = (n, from, to) => Array.from({ length: n + 1 }, (_, i) => from + ((to - from) * i) / n);

  /** The staircase of an orbit between the diagonal and the map. */
  function staircase(orbit) {
    const points = [[orbit[0], orbit[0]]];
    for (let l = 0; l + 1 < orbit.length; l++) points.push([orbit[l], orbit[l + 1]], [orbit[l + 1], orbit[l + 1]]);
    return points;
  }

  /** q^l over q^{l-1}. */
  function variance({ act, state, place, layers }) {
    const { sigma_b: sigmaB, sigma_w: sigmaW, depth } = state;
    const first = Math.exp(layers.logQ[0]);
    const limit = Math.exp(place.logQ);
    const max = 1.25 * Math.max(first, Number.isFinite(limit) ? limit : 4 * first);
    const next = (q) => q * growth(act, Math.log(q), sigmaB, sigmaW);
    const axis = (label) => ({ min: 0, max, label });
    const frame = axes("variance", axis("variance at one layer"), axis("and at the next"));
    const grid = range(120, 0, max).map((q) => Math.max(q, 1e-9 * max));
    const orbit = Array.from(layers.logQ.slice(0, Math.min(depth, STEPS)), Math.exp);
    const shapes = [
      frame.path([[0, 0], [max, max]], "diagonal"),
      frame.path(grid.map((q) => [q, next(q)]), "map"),
      frame.path(staircase(orbit), "cobweb"),
    ];
    const fixed = fixedVariances(grid, next);
    const atZero = next(grid[0]) / grid[0] - 1;
    if (sigmaB === 0 && act.startsAtZero && Math.abs(atZero) > 1e-9) fixed.unshift({ q: 0, stable: atZero < 0 });
    const marks = fixed.map(({ q, stable }) => frame.dot(q, q, stable ? "fixed" : "fixed unstable"));
    marks.unshift(frame.dot(orbit[0], orbit[0], "start", 4));
    const where = place.logQ === Infinity ? "grows without end" : `tends to ${exponential(place.logQ)}`;
    const text = `Variance map of ${act.name}: from ${number(first)} the variance ${where}.`;
    return { svg: frame.draw(shapes, marks), text };
  }

  function fixedVariances(grid, next) {
    const found = [];
    for (let i = 0; i + 1 < grid.length; i++) {
      const [here, there] = [next(grid[i]) - grid[i], next(grid[i + 1]) - grid[i + 1]];
      if (here * there < 0) {
        const q = grid[i] + ((grid[i + 1] - grid[i]) * here) / (here - there);
        found.push({ q, stable: here > 0 });
      }
    }
    return found;
  }

  /** c^l over c^{l-1}, at the variance the network settles to (at the chosen depth, if it settles to none). */
  function correlations({ act, state, place, layers, at }) {
    const { sigma_b: sigmaB, sigma_w: sigmaW, depth } = state;
    const logQ = Number.isFinite(place.logQ) ? place.logQ : at.logQ;
    const scale = sigmaW ** 2 / growth(act, logQ, sigmaB, sigmaW);
    const next = (delta) => delta * scale * (act.slopes(logQ) - act.pair(logQ, delta).mean);
    const label = (text) => ({ min: -1.04, max: 1.04, label: text });
    const frame = axes("correlation", label("correlation at one layer"), label("and at the next"));
    const orbit = Array.from(layers.delta.slice(0, Math.min(depth, STEPS)), (delta) => 1 - delta);
    const grid = range(120, 0, Math.PI).map((theta) => 2 * Math.sin(theta / 2) ** 2);
    const shapes = [
      frame.path([[-2, -2], [2, 2]], "diagonal"),
      frame.path(grid.map((delta) => [1 - delta, 1 - next(delta)]), "map"),
      frame.path(staircase(orbit), "cobweb"),
    ];
    const marks = [
      frame.dot(orbit[0], orbit[0], "start", 4),
      frame.dot(1, 1, place.deltaStar > 0 ? "fixed unstable" : "fixed"),
    ];
    if (place.deltaStar > 0) marks.push(frame.dot(1 - place.deltaStar, 1 - place.deltaStar, "fixed"));
    const text =
      `Correlation map of ${act.name}: from ${correlation(layers.delta[0])} at the first layer the correlation ` +
      `tends to ${number(1 - place.deltaStar)}; at depth ${count(depth)} it is ${correlation(at.delta)}.`;
    return { svg: frame.draw(shapes, marks), text };
  }

  /** The (sigma_b, sigma_w) plane with the edge, and the network in it; `shade` is a picture of the two phases. */
  function diagram({ act, state, place }, shade) {
    const frame = axes(
      "diagram",
      { min: 0, max: act.sigmaBMax, label: "bias σ<tspan dy='3' font-size='9'>b</tspan>" },
      { min: 0, max: act.sigmaWMax, label: "weights σ<tspan dy='3' font-size='9'>w</tspan>" },
    );
    const { x, y, width, height } = frame.box;
    const shapes = shade
      ? [`<image href="${shade}" x="${x}" y="${y}" width="${width}" height="${height}" preserveAspectRatio="none"/>`]
      : [];
    const curve = edgeCurve(act);
    for (const part of pieces(curve)) {
      shapes.push(frame.path(part.map((p) => [p.sigmaB, p.sigmaW]), part[0].stable ? "edge" : "edge unstable"));
    }
    const marks = curve.length === 1 ? [frame.dot(0, curve[0].sigmaW, "edge-point", 5)] : [];
    marks.push(frame.dot(state.sigma_b, state.sigma_w, "here", 7));
    const phase = { ordered: "in the ordered phase", edge: "on the Edge of Chaos", chaotic: "in the chaotic phase" };
    const text =
      `Phase diagram of ${act.name}: the network with sigma_b ${number(state.sigma_b)} and sigma_w ` +
      `${number(state.sigma_w)} lies ${phase[place.phase]}.`;
    return { svg: frame.draw(shapes, marks), text, frame };
  }

  /** Runs of a curve that are there and of one stability, each joined to the next. */
  function pieces(curve) {
    const found = [];
    let run = [];
    for (const point of curve) {
      const there = Number.isFinite(point.sigmaB);
      if (run.length && (!there || point.stable !== run[0].stable)) {
        found.push(there ? [...run, point] : run);
        run = [];
      }
      if (there) run.push(point);
    }
    if (run.length > 1) found.push(run);
    return found;
  }

  /** K^L/(L q) over the depth L, with its limit and its law. */
  function kernel({ act, state, layers, law, at }) {
    const depths = [...new Set(range(240, 0, Math.log(layers.kappa.length)).map((u) => Math.round(Math.exp(u))))];
    const curve = depths.map((depth) => [depth, layers.kappa[depth - 1] / depth]);
    const lowest = Math.min(0, ...curve.map(([, value]) => value));
    const min = lowest < 0 ? Math.max(-1, lowest - 0.1) : 0;
    const frame = axes(
      "kernel",
      { min: 1, max: layers.kappa.length, log: true, label: "depth L" },
      { min, max: 1, label: "kernel per layer, Kᴸ/(L q)" },
    );
    const shapes = [frame.path([[state.depth, min], [state.depth, 1]], "cursor")];
    if (law) {
      shapes.push(frame.path([[1, law.limit], [layers.kappa.length, law.limit]], "limit"));
      if (law.at) shapes.push(frame.path(depths.filter((d) => d >= FROM).map((d) => [d, law.at(d)]), "law"));
    }
    shapes.push(frame.path(curve, "beyond"), frame.path(curve.filter(([d]) => d <= state.depth), "curve"));
    const toward = law ? ` Its limit is ${ntkEoc.text.fraction(law.limit)}, its law ${law.text}.` : "";
    const now = `${number(at.perLayer)} at depth ${count(state.depth)}`;
    const text = `Kernel of ${act.name} per layer and unit of variance: ${now}.${toward}`;
    return { svg: frame.draw(shapes, [frame.dot(state.depth, at.perLayer, "here", 6)]), text };
  }

  ntkEoc.charts = { variance, correlations, diagram, kernel };
})(globalThis.ntkEoc);
