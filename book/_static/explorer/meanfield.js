/**
 * Mean-field theory at infinite width, layer by layer: variances, correlations, the tangent kernel, phases and the edge.
 *
 * As in ntk_eoc/meanfield.py and ntk_eoc/kernels.py. sigma_b and sigma_w are standard deviations, inputs have |x|^2/d = 1.
 */
(function (ntkEoc) {
  "use strict";

  const ON_THE_EDGE = 1e-8; // |chi - 1| up to which a network is said to lie on the Edge of Chaos
  const SEARCH = [Math.log(1e-8), Math.log(1e8)]; // variances between which points of the edge are looked for
  const FAR = 30; // a log-variance beyond which a variance is said to diverge, or to vanish
  const SETTLED = 1e-12; // a step of the log-variance that only rounding still makes

  /** q'/q: what one layer does to a variance. */
  function growth(act, logQ, sigmaB, sigmaW) {
    return (sigmaB > 0 ? sigmaB ** 2 * Math.exp(-logQ) : 0) + sigmaW ** 2 * act.power(logQ);
  }

  /** A root of f between two arguments at which its signs differ. */
  function bisect(f, low, high) {
    const sign = Math.sign(f(low));
    for (let i = 0; i < 100; i++) {
      const middle = 0.5 * (low + high);
      if (middle === low || middle === high) break;
      if (Math.sign(f(middle)) === sign) low = middle;
      else high = middle;
    }
    return 0.5 * (low + high);
  }

  /** log of the variance that q^l tends to; -Infinity if it vanishes, Infinity if it diverges. */
  function limitLogVariance(act, sigmaB, sigmaW) {
    const excess = (logQ) => Math.log(growth(act, logQ, sigmaB, sigmaW));
    const start = Math.log(sigmaB ** 2 + sigmaW ** 2);
    const first = excess(start);
    if (Math.abs(first) < 1e-13) return start;
    if (act.homogeneous && sigmaB === 0) return Math.sign(first) * Infinity;
    const step = 0.2 * Math.sign(first);
    for (let logQ = start; Math.abs(logQ) < FAR; logQ += step) {
      if (excess(logQ + step) * first <= 0) return bisect(excess, logQ, logQ + step);
    }
    return Math.sign(first) * Infinity;
  }

  /** 1 - c*, where c* is the correlation that two different inputs tend to at a fixed point with chi > 1. */
  function chaoticDelta(act, logQ, sigmaW) {
    const slopes = act.slopes(logQ);
    const excess = (logDelta) => sigmaW ** 2 * (slopes - act.pair(logQ, Math.exp(logDelta)).mean) - 1;
    return excess(0) > -1e-13 ? 1 : Math.exp(bisect(excess, Math.log(1e-13), 0));
  }

  /**
   * Where (sigmaB, sigmaW) lies: phase "ordered", "edge" or "chaotic", the limiting log-variance, chi there,
   * the limiting correlation as deltaStar = 1 - c*, chiStar = f'(c*), and the depth scale xi in layers.
   */
  function phase(act, sigmaB, sigmaW) {
    const logQ = limitLogVariance(act, sigmaB, sigmaW);
    const chi = sigmaW ** 2 * act.slopes(Math.min(Math.max(logQ, -FAR), FAR));
    const place = { logQ, chi, deltaStar: 0, chiStar: chi, xi: Infinity };
    if (Math.abs(chi - 1) <= ON_THE_EDGE && logQ !== Infinity) return { ...place, phase: "edge" };
    if (logQ === Infinity) return { ...place, phase: chi < 1 ? "ordered" : "chaotic" };
    const vanishing = logQ === -Infinity; // correlations then stand still, or move like a power of the depth
    if (chi < 1) return { ...place, phase: "ordered", xi: vanishing ? Infinity : -1 / Math.log(chi) };
    if (vanishing) return { ...place, phase: "chaotic" };
    const deltaStar = chaoticDelta(act, logQ, sigmaW);
    const chiStar = sigmaW ** 2 * (act.slopes(logQ) - act.pair(logQ, deltaStar).gap);
    return { ...place, phase: "chaotic", deltaStar, chiStar, xi: chiStar < 1 ? -1 / Math.log(chiStar) : Infinity };
  }

  /**
   * The layers 1..depth of a pair of inputs, each field an array with layer l at index l - 1: log q^l, delta^l,
   * kappa = K^l(x, x')/q^l, and apart = (K^l(x, x) - K^l(x, x'))/q^l, a sum of positive terms.
   */
  function layers(act, { sigmaB, sigmaW, cosine, depth }) {
    const found = {};
    for (const field of ["logQ", "delta", "kappa", "apart"]) found[field] = new Float64Array(depth);
    let logQ = Math.log(sigmaB ** 2 + sigmaW ** 2);
    let delta = (sigmaW ** 2 * (1 - cosine)) / (sigmaB ** 2 + sigmaW ** 2);
    let kappa = 1 - delta;
    let apart = delta;
    let known = NaN;
    let grown, slopes;
    for (let l = 0; l < depth; l++) {
      if (l > 0) {
        if (logQ !== known) {
          grown = growth(act, logQ, sigmaB, sigmaW);
          slopes = act.slopes(logQ);
          known = logQ;
        }
        const { mean, gap } = act.pair(logQ, delta);
        const scale = sigmaW ** 2 / grown;
        delta = Math.min(Math.max(delta * scale * (slopes - mean), 0), 2);
        apart = delta + scale * (slopes * apart + gap * kappa);
        kappa = 1 - delta + scale * (slopes - gap) * kappa;
        const next = logQ + Math.log(grown);
        logQ = Math.abs(next - logQ) < SETTLED ? logQ : next;
      }
      found.logQ[l] = logQ;
      found.delta[l] = delta;
      found.kappa[l] = kappa;
      found.apart[l] = apart;
    }
    return found;
  }

  /** (sigmaB, sigmaW) on the edge at the variance q, NaN for sigmaB where there is none; `stable`: q attracts. */
  function edgeAt(act, logQ) {
    const slopes = act.slopes(logQ);
    const bias = 1 - act.power(logQ) / slopes;
    const sigmaB = Math.abs(bias) < 1e-11 ? 0 : Math.sqrt(bias) * Math.exp(0.5 * logQ);
    return { logQ, sigmaB, sigmaW: slopes ** -0.5, stable: act.mapSlope(logQ) / slopes < 1 };
  }

  /** Points of the edge by increasing variance, for drawing. */
  function edgeCurve(act) {
    if (act.homogeneous) return [{ ...edgeAt(act, 0), sigmaB: 0 }];
    const end = Math.min(SEARCH[1], act.logQMax);
    const points = [];
    for (let logQ = SEARCH[0]; logQ <= end; logQ += 0.05) points.push(edgeAt(act, logQ));
    points.push(...edgePoints(act, 0)); // where the curve meets the axis, between two of those
    return points.sort((one, other) => one.logQ - other.logQ);
  }

  /** Every point of the edge at sigmaB, by increasing variance; logQ is null where every variance is fixed. */
  function edgePoints(act, sigmaB) {
    if (act.homogeneous) return sigmaB === 0 ? [{ ...edgeAt(act, 0), sigmaB, logQ: null }] : [];
    const excess = (logQ) => {
      const value = sigmaB ** 2 * Math.exp(-logQ) + act.power(logQ) / act.slopes(logQ) - 1;
      return Math.abs(value) < 1e-11 ? 0 : value;
    };
    const points = sigmaB === 0 && act.startsAtZero ? [edgeAt(act, -Infinity)] : [];
    const end = Math.min(SEARCH[1], act.logQMax);
    for (let logQ = SEARCH[0]; logQ + 0.1 <= end; logQ += 0.1) {
      if (excess(logQ) * excess(logQ + 0.1) < 0) points.push(edgeAt(act, bisect(excess, logQ, logQ + 0.1)));
    }
    return points.map((point) => ({ ...point, sigmaB }));
  }

  /** The point of the edge that a network would be put on: the first that attracts variances, else the first. */
  function edgePoint(act, sigmaB) {
    const points = edgePoints(act, sigmaB).filter(({ sigmaW }) => sigmaW <= act.sigmaWMax);
    return points.find(({ stable }) => stable) || points[0] || null;
  }

  ntkEoc.meanfield = {
    growth,
    limitLogVariance,
    phase,
    layers,
    edgeCurve,
    edgePoints,
    edgePoint,
  };
})(globalThis.ntkEoc);
