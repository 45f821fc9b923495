/** Everything that one choice of the reader leads to: the numbers of the page, and the verdict in a sentence. */
(function (ntkEoc) {
  "use strict";

  const { meanfield } = ntkEoc;
  const BLIND = 0.01; // how close K(x,x')/K(x,x) comes to 1, or to 0, before we call inputs alike, or unlike
  const DEEPEST = 10000;

  /** Phase, layers and laws of a state. */
  function explore(act, state) {
    const { sigma_b: sigmaB, sigma_w: sigmaW, depth, cosine } = state;
    const place = meanfield.phase(act, sigmaB, sigmaW);
    if (state.edge) Object.assign(place, { phase: "edge", chi: 1, chiStar: 1, deltaStar: 0, xi: Infinity });
    const layers = meanfield.layers(act, { sigmaB, sigmaW, cosine, depth: DEEPEST });
    const result = { act, state, place, layers, law: lawOf(act, place, sigmaB) };
    return { ...result, at: at(layers, depth), forgotten: forgotten(layers, place), said: null };
  }

  /** The numbers of one layer. */
  function at(layers, depth) {
    const [logQ, delta, kappa, apart] = ["logQ", "delta", "kappa", "apart"].map((field) => layers[field][depth - 1]);
    const share = Number.isFinite(apart) ? kappa / (kappa + apart) : 0;
    return { logQ, delta, kappa, perLayer: kappa / depth, share };
  }

  /** The first layer from which the kernel says no more than the phase does; null if none was found. */
  function forgotten({ kappa, apart }, place) {
    for (let l = 0; l < kappa.length; l++) {
      const share = Number.isFinite(apart[l]) ? kappa[l] / (kappa[l] + apart[l]) : 0;
      if (place.phase === "chaotic" ? Math.abs(share) < BLIND : 1 - share < BLIND) return l + 1;
    }
    return null;
  }

  /** What K^L/(L q) tends to, and how: { limit, text, at: L => the law } or null where no law is known. */
  function lawOf(act, place, sigmaB) {
    const onEdge = place.phase === "edge" && place.logQ > -Infinity;
    if (onEdge || (act.homogeneous && sigmaB === 0)) {
      const { limit, rate, coefficient } = act.law(act.homogeneous ? 0 : place.logQ);
      const decay = rate === "1/√L" ? (depth) => depth ** -0.5 : (depth) => Math.log(depth) / depth;
      const useful = Math.abs(coefficient) < 50;
      const at = useful ? (depth) => limit + coefficient * decay(depth) : null;
      return { limit, text: `${ntkEoc.text.fraction(limit)} ${ntkEoc.text.signed(coefficient)} ${rate}`, at };
    }
    if (!Number.isFinite(place.logQ)) return null;
    const constant = (1 - place.deltaStar) / (1 - place.chiStar);
    if (!(place.chiStar < 1)) return null;
    return { limit: 0, text: `${ntkEoc.text.number(constant)}/L`, at: (depth) => constant / depth };
  }

  /** The verdict: one sentence, and one that explains it. */
  function verdict({ act, state, place, layers, at, forgotten }) {
    const depth = state.depth;
    const many = ntkEoc.text.layers;
    if (layers.delta[0] === 0) {
      return ["The two inputs are the same: no network can tell them apart.", "Move the cosine below 1."];
    }
    const ratio = ntkEoc.text.percent(at.share);
    const now = `At depth ${ntkEoc.text.count(depth)} the kernel of the two inputs is ${ratio} of the kernel of one with itself`;
    if (place.phase === "edge") {
      return [
        `On the Edge of Chaos: after ${many(depth)} the network still tells your inputs apart.`,
        `${now}; no other place in the diagram forgets so slowly.`,
      ];
    }
    if (place.phase === "ordered") {
      if (forgotten === null) {
        const why = act.homogeneous && state.sigma_b === 0 ? "the signal dies out, but its shape does not" : "but slowly";
        return [`Ordered, ${why}: after ${many(DEEPEST)} the network still tells your inputs apart.`, `${now}.`];
      }
      if (forgotten <= depth) {
        return [`Ordered: after ${many(forgotten)} the network cannot tell your inputs apart.`, `${now}.`];
      }
      return [
        `Ordered: at ${many(depth)} the network still tells your inputs apart; from ${many(forgotten)} on it cannot.`,
        `${now}.`,
      ];
    }
    if (forgotten === null) {
      return [`Chaotic: the variance grows from layer to layer, and the gradient with it.`, `${now}.`];
    }
    if (forgotten <= depth) {
      return [`Chaotic: after ${many(forgotten)} the network sees no likeness between your inputs.`, `${now}: it can memorise them and learn nothing about others.`];
    }
    return [
      `Chaotic: at ${many(depth)} the network still sees how alike your inputs are; from ${many(forgotten)} on it does not.`,
      `${now}.`,
    ];
  }

  ntkEoc.verdict = { explore, verdict, BLIND, DEEPEST };
})(globalThis.ntkEoc);
