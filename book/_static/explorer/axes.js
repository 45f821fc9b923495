/** One chart's axes, as the text of an SVG: scales, ticks, labels, and shapes in the units of the data. */
(function (ntkEoc) {
  "use strict";

  const WIDTH = 300;
  const HEIGHT = 250;
  const EDGE = { left: 52, right: 10, top: 10, bottom: 42 };

  /** Round numbers between two ends, about four of them; powers of ten on a logarithmic axis. */
  function ticks({ min, max, log }) {
    const found = [];
    if (log) {
      for (let power = Math.ceil(Math.log10(min)); power <= Math.log10(max) + 1e-9; power++) found.push(10 ** power);
      return found;
    }
    const rough = (max - min) / 4;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 2.5, 5, 10].find((factor) => factor * unit >= 0.99 * rough);
    for (let k = Math.ceil(min / step - 1e-9); k * step <= max + 1e-9 * step; k++) found.push(k * step);
    return found;
  }

  function scale({ min, max, log }, from, to) {
    const place = log ? Math.log : (value) => value;
    const [low, high] = [place(min), place(max)];
    return (value) => from + ((place(value) - low) / (high - low)) * (to - from);
  }

  /**
   * Axes with `x` and `y` given as { min, max, log, label }. `path` and `dot` return shapes; `draw` cuts shapes off at the
   * frame and lays marks over it.
   */
  function axes(name, x, y) {
    const inner = { right: WIDTH - EDGE.right, bottom: HEIGHT - EDGE.bottom };
    const X = scale(x, EDGE.left, inner.right);
    const Y = scale(y, inner.bottom, EDGE.top);
    const near = (place) => Math.min(Math.max(place, -999), 999).toFixed(1); // variances may explode; SVG numbers may not
    const at = (a, b) => `${near(X(a))} ${near(Y(b))}`;

    const path = (points, kind) => {
      const known = points.filter(([a, b]) => Number.isFinite(X(a)) && Number.isFinite(Y(b)));
      return known.length ? `<path class="${kind}" d="M${known.map(([a, b]) => at(a, b)).join("L")}"/>` : "";
    };
    const dot = (a, b, kind, radius = 4.5) =>
      `<circle class="${kind}" cx="${X(a).toFixed(1)}" cy="${Y(b).toFixed(1)}" r="${radius}"/>`;
    function draw(shapes, marks) {
      const grid = [
        ...ticks(x).map((t) => `<path class="grid" d="M${X(t)} ${EDGE.top}V${inner.bottom}"/>` +
          `<text class="tick" x="${X(t)}" y="${inner.bottom + 16}" text-anchor="middle">${tickText(t, x)}</text>`),
        ...ticks(y).map((t) => `<path class="grid" d="M${EDGE.left} ${Y(t)}H${inner.right}"/>` +
          `<text class="tick" x="${EDGE.left - 6}" y="${Y(t) + 4}" text-anchor="end">${tickText(t, y)}</text>`),
      ].join("");
      const middle = (EDGE.top + inner.bottom) / 2;
      return (
        `<clipPath id="frame-${name}"><rect x="${EDGE.left}" y="${EDGE.top}" ` +
        `width="${inner.right - EDGE.left}" height="${inner.bottom - EDGE.top}"/></clipPath>${grid}` +
        `<g clip-path="url(#frame-${name})">${shapes.join("")}</g>` +
        `<path class="frame" d="M${EDGE.left} ${EDGE.top}V${inner.bottom}H${inner.right}"/>${marks.join("")}` +
        `<text class="label" x="${(EDGE.left + inner.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${x.label}</text>` +
        `<text class="label" transform="translate(12 ${middle}) rotate(-90)" text-anchor="middle">${y.label}</text>`
      );
    }

    const box = { x: EDGE.left, y: EDGE.top, width: inner.right - EDGE.left, height: inner.bottom - EDGE.top };
    return { path, dot, draw, box };
  }

  function tickText(value, { log }) {
    if (log) return value < 1e3 ? String(value) : `10${ntkEoc.text.power(Math.round(Math.log10(value)))}`;
    return String(Number(value.toPrecision(6))).replace("-", "−");
  }

  ntkEoc.axes = { axes };
})(globalThis.ntkEoc);
