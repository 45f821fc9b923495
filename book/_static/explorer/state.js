/** What the reader has chosen, in the page's address and back; nothing out of range gets in, and nothing does silently. */
(function (ntkEoc) {
  "use strict";

  const DEFAULTS = { activation: "tanh", sigma_w: 1.2, sigma_b: 0.2, depth: 200, cosine: 0.5, edge: false };
  const MAX_DEPTH = 10000;

  /** The numbers that may be chosen: label, least and largest value; `sigma_w` ends at the activation's own value. */
  function limits(sigmaWMax) {
    return {
      sigma_w: { label: "The standard deviation of the weights", least: 0.1, largest: sigmaWMax },
      sigma_b: { label: "The standard deviation of the biases", least: 0, largest: 2 },
      depth: { label: "The depth", least: 1, largest: MAX_DEPTH, whole: true },
      cosine: { label: "The cosine", least: -1, largest: 1 },
    };
  }

  /** A number within its limits, and a note where it had to be moved there. */
  function clamp(value, { label, least, largest, whole }) {
    const rounded = whole ? Math.round(value) : value;
    const inside = Math.min(Math.max(rounded, least), largest);
    if (inside === value) return { value };
    const why = inside === rounded ? "is a whole number" : `goes from ${least} to ${largest}`;
    return { value: inside, note: `${label} ${why}: ${shown(value)} became ${shown(inside)}.` };
  }

  /** A number as short as it can be without losing what matters here. */
  function shown(value) {
    return String(Number(value.toPrecision(6)));
  }

  /**
   * The state in an address such as "#activation=tanh&sigma_w=1.3", with a note for everything that was not understood.
   * Numbers are not yet clamped: the range of sigma_w depends on the activation.
   */
  function parse(hash, activations) {
    const state = { ...DEFAULTS };
    const notes = [];
    const back = (key, text) =>
      notes.push(`This link is broken: ${key} cannot be “${text}”, so ${shownDefault(key)} is used.`);
    for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
      if (key === "activation") {
        if (activations.includes(text)) state.activation = text;
        else back(key, text);
      } else if (key === "edge") {
        if (["0", "1"].includes(text)) state.edge = text === "1";
        else back(key, text);
      } else if (Object.hasOwn(DEFAULTS, key)) {
        if (text.trim() !== "" && Number.isFinite(Number(text))) state[key] = Number(text);
        else back(key, text);
      } else {
        notes.push(`This link is broken: nothing here is called “${key}”.`);
      }
    }
    return { state, notes };
  }

  function shownDefault(key) {
    return key === "edge" ? "0" : String(DEFAULTS[key]);
  }

  /** The address of a state. On the edge sigma_w follows from sigma_b, and is left out. */
  function format(state) {
    const { activation, sigma_w, sigma_b, depth, cosine, edge } = state;
    const chosen = { activation, ...(edge ? { edge: 1 } : { sigma_w }), sigma_b, depth, cosine };
    return "#" + new URLSearchParams(chosen).toString();
  }

  /** A state with every number in its range, and what had to be changed. */
  function settle(state, sigmaWMax) {
    const settled = { ...state };
    const notes = [];
    for (const [key, limit] of Object.entries(limits(sigmaWMax))) {
      const { value, note } = clamp(state[key], limit);
      settled[key] = value;
      if (note) notes.push(note);
    }
    return { state: settled, notes };
  }

  ntkEoc.state = { DEFAULTS, MAX_DEPTH, limits, clamp, parse, format, settle, shown };
})(globalThis.ntkEoc);
