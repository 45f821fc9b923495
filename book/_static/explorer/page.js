/** The page: what the reader does becomes a state, the state becomes numbers, sentences and charts. */
(function (ntkEoc) {
  "use strict";

  const { state: states, tables, meanfield, charts, shade, text } = ntkEoc;
  const root = document.getElementById("explorer");
  const find = (name) => root.querySelector(`[data-is="${name}"]`);
  const select = root.querySelector("select");
  const names = Array.from(select.options, (option) => option.value);
  const NUMBERS = ["sigma_w", "sigma_b", "depth", "cosine"];

  let wish = { ...states.DEFAULTS }; // what the reader asked for last; its table may still be on the way
  let state = wish;
  let act = null;
  let shading = null;
  let frame = null;
  let said = [];

  /** Take on a state: load its activation, bring it into range, draw. Notes say what had to be changed. */
  async function become(wanted, notes = []) {
    wish = wanted;
    let loaded;
    try {
      loaded = await tables.load(wanted.activation);
    } catch (error) {
      return wish === wanted && trouble(error);
    }
    if (wish !== wanted) return;
    act = loaded;
    const settled = states.settle(wanted, act.sigmaWMax);
    state = settled.state;
    notes = [...notes, ...settled.notes];
    const point = meanfield.edgePoint(act, state.sigma_b);
    if (state.edge && !point) {
      state.edge = false;
      notes.push(`${label()} has no Edge of Chaos here with biases of ${states.shown(state.sigma_b)}.`);
    }
    if (state.edge) state.sigma_w = point.sigmaW;
    if (state.edge && !point.stable && point.logQ !== null) notes.push("Here the edge repels variances: yours may leave it.");
    wish = state;
    if (shading?.act !== act) shading = { act, values: shade.logChi(act) };
    document.documentElement.classList.remove("explorer-trouble");
    draw(point, notes);
    remember();
  }

  const label = () => select.selectedOptions[0].textContent;

  function draw(point, notes) {
    said = notes;
    performance.clearMeasures("explorer");
    const start = performance.now();
    showControls(point);
    const result = ntkEoc.verdict.explore(act, state);
    const [sentence, reason] = ntkEoc.verdict.verdict(result);
    root.dataset.phase = result.place.phase;
    find("verdict").textContent = sentence;
    find("reason").textContent = reason;
    find("note").textContent = notes.join(" ");
    showNumbers(result);
    const made = {
      variance: charts.variance(result),
      correlation: charts.correlations(result),
      diagram: charts.diagram(result, shadePicture()),
      kernel: charts.kernel(result),
    };
    for (const [name, chart] of Object.entries(made)) {
      const svg = find(name);
      svg.innerHTML = chart.svg;
      svg.setAttribute("aria-label", chart.text);
    }
    frame = made.diagram.frame;
    ntkEoc.now = { state, result };
    performance.measure("explorer", { start });
    if (!performance.getEntriesByName("explorer first").length) performance.measure("explorer first");
  }

  function showControls(point) {
    select.value = state.activation;
    find("formula").textContent = `φ(x) = ${act.formula}`;
    const limits = states.limits(act.sigmaWMax);
    for (const name of NUMBERS) {
      const [slider, box] = [find(`${name}-slider`), find(`${name}-box`)];
      const { least, largest } = limits[name];
      if (name === "depth") {
        slider.value = Math.log10(state.depth);
        slider.setAttribute("aria-valuetext", text.layers(state.depth));
      } else {
        [slider.min, slider.max] = [least, largest];
        slider.value = state[name];
        slider.setAttribute("aria-valuetext", states.shown(state[name]));
      }
      [box.min, box.max] = [least, largest];
      if (document.activeElement !== box || Number(box.value) !== state[name]) box.value = states.shown(state[name]);
    }
    const button = find("edge");
    button.disabled = !point;
    button.setAttribute("aria-pressed", String(state.edge));
    find("edge-says").hidden = !point;
    find("edge-lacks").hidden = Boolean(point);
    if (point) find("edge-at").textContent = states.shown(point.sigmaW);
  }

  function showNumbers({ place, layers, at, law }) {
    const shown = {
      q: place.logQ === Infinity ? "∞" : text.exponential(place.logQ),
      chi: text.number(place.chi),
      c: limitOf(place),
      xi: place.xi === Infinity ? "∞" : `${text.number(place.xi)} layers`,
      qL: text.exponential(at.logQ),
      cL: text.correlation(at.delta),
      ntk: at.kappa < 0 ? `−${text.exponential(at.logQ + Math.log(-at.kappa))}` : text.exponential(at.logQ + Math.log(at.kappa)),
      perLayer: text.number(at.perLayer),
      share: text.number(at.share),
      law: law ? law.text : "–",
    };
    for (const [name, value] of Object.entries(shown)) find(`number-${name}`).textContent = value;
  }

  function limitOf(place) {
    if (place.logQ === -Infinity && !act.homogeneous) return "depends on the inputs";
    return text.number(1 - place.deltaStar);
  }

  function shadePicture() {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).split(",").map(Number);
    return shade.picture(shading.values, colour("--ordered-rgb"), colour("--chaotic-rgb"));
  }

  /** Without a table there is the static picture, and a word why; another activation may still be chosen. */
  function trouble(error) {
    select.value = wish.activation;
    document.documentElement.classList.add("explorer-trouble");
    document.getElementById("explorer-trouble").textContent =
      `The explorer has ${error.message} here. This is what it looks like when it has.`;
  }

  let later = 0;

  /** The address follows the state, but not at every step of a slider: browsers allow only so many changes. */
  function remember() {
    clearTimeout(later);
    const untouched = !location.hash.includes("=") && states.format(state) === states.format(states.DEFAULTS);
    if (!untouched) later = setTimeout(() => history.replaceState(null, "", states.format(state)), 250);
  }

  /** Become what the address says, unless it names a section of this page. */
  function recall() {
    const address = document.getElementById(location.hash.slice(1)) ? "" : location.hash;
    const { state: wanted, notes } = states.parse(address, names);
    become(wanted, notes);
  }

  function follow() {
    if (location.hash.includes("=") && location.hash !== states.format(state)) recall();
  }

  function listen() {
    root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    select.addEventListener("change", () => become({ ...wish, activation: select.value }));
    for (const name of NUMBERS) {
      const unlock = name === "sigma_w" ? { edge: false } : {};
      const slider = find(`${name}-slider`);
      slider.addEventListener("input", () => {
        const value = Number(slider.value);
        become({ ...wish, ...unlock, [name]: name === "depth" ? Math.round(10 ** value) : value });
      });
      const box = find(`${name}-box`);
      box.addEventListener("change", () => {
        if (box.value === "") return become(wish, [`${box.labels[0].textContent} expects a number.`]);
        become({ ...wish, ...unlock, [name]: Number(box.value) });
      });
    }
    find("edge").addEventListener("click", () => become({ ...wish, edge: !wish.edge }));
    find("reset").addEventListener("click", () => become({ ...states.DEFAULTS }));
    find("diagram").addEventListener("click", goTo);
    find("diagram").addEventListener("pointermove", (event) => {
      if (event.buttons === 1 && event.pointerType === "mouse") goTo(event);
    });
    for (const button of document.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => {
        become(states.parse(button.dataset.view, names).state);
        root.scrollIntoView({ behavior: "instant" });
      });
    }
    window.addEventListener("hashchange", follow);
    new MutationObserver(() => act && draw(meanfield.edgePoint(act, state.sigma_b), said)).observe(
      document.documentElement,
      { attributeFilter: ["data-theme"] },
    );
  }

  /** The network under the pointer in the phase diagram. */
  function goTo(event) {
    const svg = find("diagram");
    const spot = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const { x, y, width, height } = frame.box;
    const share = (value) => Math.min(Math.max(value, 0), 1);
    const sigma_b = Number((share((spot.x - x) / width) * act.sigmaBMax).toFixed(2));
    const sigma_w = Math.max(0.1, Number((share(1 - (spot.y - y) / height) * act.sigmaWMax).toFixed(2)));
    become({ ...wish, sigma_b, sigma_w, edge: false });
  }

  listen();
  recall();
})(globalThis.ntkEoc);
