/** Everything that one choice of the reader leads to: the numbers of the page, and the verdict in a sentence. */
(function (ntkEoc) {
  "use strict";

  const { meanfield } = ntkEoc;
  const BLIND = 0.01; // how close K(x,x')/K(x,x) comes to 1, or to 0, before we call inputs alike, or unlike
  const DEEPEST = ntkEoc.state.MAX_DEPTH;
  const NEARLY = 1e-5; // |chi - 1| that a network put on the edge may have from rounding; more, and its variance left

  /** Phase, layers and laws of a state. */
  function explore(act, state) {
    const { sigma_b: sigmaB, sigma_w: sigmaW, depth, cosine } = state;
    const place = meanfield.phase(act, sigmaB, sigmaW);
    if (state.edge && Math.abs(place.chi - 1) < NEARLY) {
      Object.assign(place, { phase: "edge", chi: 1, chiStar: 1, deltaStar: 0, xi: Infinity });
    }
    const layers = meanfield.layers(act, { sigmaB, sigmaW, cosine, depth: DEEPEST });
    const law = lawOf(act, place, sigmaB);
    return { act, state, place, layers, law, at: at(layers, depth), forgotten: forgotten(layers, place) };
  }

  /** The numbers of one layer. */
  function at(layers, depth) {
    const [logQ, delta, kappa, apart] = ["logQ", "delta", "kappa", "apart"].map((field) => layers[field][depth - 1]);
    const share = Number.isFinite(apart) ? kappa / (kappa + apart) : 0;
    return { logQ, delta, kappa, perLayer: kappa / depth, share };
  }

  /** The layer from which on the kernel says no more than the phase does; null if there is none. */
  function forgotten(layers, place) {
    for (let depth = DEEPEST; depth > 0; depth--) {
      const { share } = at(layers, depth);
      if ((place.phase === "chaotic" ? Math.abs(share) : 1 - share) >= BLIND) return depth < DEEPEST ? depth + 1 : null;
    }
    return 1;
  }

  /** What K^L/(L q) tends to, and how: { limit, text, at: L => the law } or null where no law is known. */
  function lawOf(act, place, sigmaB) {
    const onEdge = place.phase === "edge" && place.logQ > -Infinity;
    if (onEdge || (act.homogeneous && sigmaB === 0)) {
      const { limit, rate, coefficient } = act.law(act.homogeneous ? 0 : place.logQ);
      const decay = rate === "/√L" ? (depth) => depth ** -0.5 : (depth) => Math.log(depth) / depth;
      const useful = Math.abs(coefficient) < 50;
      const at = useful ? (depth) => limit + coefficient * decay(depth) : null;
      return { limit, text: `${ntkEoc.text.fraction(limit)} ${ntkEoc.text.signed(coefficient)}${rate}`, at };
    }
    if (!Number.isFinite(place.logQ)) return null;
    const constant = (1 - place.deltaStar) / (1 - place.chiStar);
    if (!(place.chiStar < 1)) return null;
    return { limit: 0, text: `${ntkEoc.text.number(constant)}/L`, at: (depth) => constant / depth };
  }

  /** The verdict: one sentence, and one that explains it. */
  function verdict({ state, place, layers, at, forgotten }) {
    if (layers.delta[0] === 0) {
      return ["The two inputs are the same: no network can tell them apart.", "Move the cosine below 1."];
    }
    const here = ntkEoc.text.layers(state.depth);
    const then = forgotten && ntkEoc.text.layers(forgotten);
    const now =
      `At depth ${ntkEoc.text.count(state.depth)} the kernel between the two inputs is ` +
      `${ntkEoc.text.percent(at.share)} of the kernel of one input with itself`;
    const late = forgotten > state.depth;
    if (place.phase === "edge") {
      return [
        `On the Edge of Chaos: after ${here} the network still tells your inputs apart.`,
        `${now}, and deeper networks change that only slowly.`,
      ];
    }
    if (place.phase === "ordered") {
      if (!forgotten) return [`Ordered: ${lasting(place)}, the network still tells your inputs apart.`, `${now}.`];
      if (!late) return [`Ordered: after ${then} the network cannot tell your inputs apart.`, `${now}.`];
      return [`Ordered: ${here} still tell your inputs apart; ${then} no longer do.`, `${now}.`];
    }
    if (place.logQ === Infinity) {
      return ["Chaotic: variance and gradient grow from layer to layer without end.", `${now}.`];
    }
    if (!forgotten) return [`Chaotic: ${lasting(place)}, the network still sees how alike your inputs are.`, `${now}.`];
    if (!late) {
      const sentence = `Chaotic: after ${then} the network sees no likeness between your inputs.`;
      return [sentence, `${now}: it can learn them by heart and says nothing about others.`];
    }
    return [`Chaotic: ${here} still see how alike your inputs are; ${then} no longer do.`, `${now}.`];
  }

  /** Why nothing is forgotten. */
  function lasting(place) {
    if (place.logQ === -Infinity) return "the signal dies out, but not its shape";
    return `even after ${ntkEoc.text.layers(DEEPEST)}`;
  }

  ntkEoc.verdict = { explore, verdict, BLIND, DEEPEST };
})(globalThis.ntkEoc);
