/**
 * The Gaussian expectations of one activation, from the Chebyshev series that the Python package wrote.
 *
 * The same formulas as ntk_eoc/explorer/series.py. Variances are handled as their logarithm `logQ`, so that none is too
 * large or too small; `delta` is 1 - correlation and never computed by subtraction.
 */
globalThis.ntkEoc = globalThis.ntkEoc || {};
(function (ntkEoc) {
  "use strict";

  const STEPS = 400;

  /** An array of the package: its shape, and little-endian float64 numbers in base64. */
  function unpack({ shape, float64 }) {
    const bytes = Uint8Array.from(atob(float64), (letter) => letter.charCodeAt(0));
    return { shape, data: new Float64Array(bytes.buffer) };
  }

  /** The Chebyshev series with coefficients data[start .. start + n) at x in [-1, 1]. */
  function clenshaw(data, start, n, x) {
    let last = 0;
    let before = 0;
    for (let k = n - 1; k > 0; k--) {
      const next = data[start + k] + 2 * x * last - before;
      before = last;
      last = next;
    }
    return data[start] + x * last - before;
  }

  /** A function (row, place) => value for a (rows, n) array of series over [0, end]. */
  function seriesOver(packed, end) {
    const { shape, data } = unpack(packed);
    const n = shape[1];
    return (row, place) => clenshaw(data, row * n, n, (2 * Math.min(place, end)) / end - 1);
  }

  /** s/(1 + s) and log(1 + s) of s = sqrt(q). */
  const share = (logQ) => 1 / (1 + Math.exp(-0.5 * logQ));
  const logS = (logQ) => Math.max(0.5 * logQ, 0) + Math.log1p(Math.exp(-0.5 * Math.abs(logQ)));

  /**
   * Turns series in (log(1 + s), w) into series in w at one s, the two kinds after one another. Series are collapsed at
   * STEPS even places, each when it is first needed, and interpolated by cubics between: a variance that moves in every
   * layer then costs little, and the error stays below 1e-8.
   */
  function rowsOf({ shape, data }, logSMax) {
    const [kinds, m, n] = shape;
    const rows = [];
    const row = new Float64Array(kinds * n);
    let kept = NaN;

    function collapsed(step) {
      if (rows[step]) return rows[step];
      const x = (2 * step) / STEPS - 1;
      const sum = new Float64Array(kinds * n);
      let [polynomial, next] = [1, x];
      for (let i = 0; i < m; i++) {
        for (let kind = 0; kind < kinds; kind++) {
          for (let k = 0; k < n; k++) sum[kind * n + k] += polynomial * data[(kind * m + i) * n + k];
        }
        [polynomial, next] = [next, 2 * x * next - polynomial];
      }
      return (rows[step] = sum);
    }

    return (logS) => {
      if (logS === kept) return row;
      kept = logS;
      const place = (logS / logSMax) * STEPS;
      const first = Math.min(Math.max(Math.floor(place) - 1, 0), STEPS - 3);
      const u = place - first;
      const weights = [
        (-(u - 1) * (u - 2) * (u - 3)) / 6,
        (u * (u - 2) * (u - 3)) / 2,
        (-u * (u - 1) * (u - 3)) / 2,
        (u * (u - 1) * (u - 2)) / 6,
      ];
      const [a, b, c, d] = weights.map((_, j) => collapsed(first + j));
      const [p, q, r, s] = weights;
      for (let k = 0; k < row.length; k++) row[k] = p * a[k] + q * b[k] + r * c[k] + s * d[k];
      return row;
    };
  }

  /**
   * An activation, opened from its table.
   * @param {object} table what `ntk_eoc.explorer.files.table` wrote
   */
  function open(table) {
    const moments = seriesOver(table.moments, table.tMax);
    const moment = (row, logQ) => moments(row, share(logQ));
    const lawSeries = seriesOver(table.law.series, table.logSMax);
    const rowAt = rowsOf(unpack(table.pair), table.logSMax);
    const far = unpack(table.far).data;

    /** E[phi^2]/q. */
    function power(logQ) {
      return moment(0, logQ) * (table.phi0 ? 1 + table.phi0 ** 2 * Math.exp(-logQ) : 1);
    }

    /** r and g from a row of coefficients at kappa = exp(logKappa); N is what the package divided by. */
    function evaluated(row, logKappa, norm, delta) {
      const kappa = Math.exp(logKappa);
      const tangent = Math.min(Math.sqrt(delta / (2 - delta)), 1e300);
      const w = (Math.log1p(kappa * tangent) - Math.log1p(tangent / kappa)) / (2 * logKappa);
      const n = row.length / 2;
      return { mean: norm * clenshaw(row, 0, n, 2 * w - 1), gap: norm * clenshaw(row, n, n, 2 * w - 1) };
    }

    function atInfinity(delta) {
      return evaluated(far, Math.log(table.farKappa), Math.sqrt(0.5 * delta), delta);
    }

    function inTable(place, delta) {
      const sine = Math.sqrt(0.5 * delta);
      const apart = 2 * Math.expm1(place) * sine;
      const norm = table.kinkPower === 1 ? sine : (apart * apart) / ((1 + apart) * Math.exp(place));
      return evaluated(rowAt(place), Math.max(place, 1e-6), norm, delta);
    }

    /**
     * Variances beyond the table. What separates g from its form at infinite variance shrinks like 1/s. It depends on the
     * angle where inputs are far apart, but on s times the angle where pre-activations are close: there the last row of
     * the table is read at an angle larger by s/s_max.
     */
    function beyond(place, delta) {
      const edge = Math.expm1(table.logSMax);
      const ratio = Math.expm1(place) / edge;
      const theta = 2 * Math.asin(Math.sqrt(0.5 * delta));
      const near = 1 / (1 + (theta * ratio) ** 2);
      const sine = Math.sin(0.5 * Math.min(theta * (1 + (ratio - 1) * near), Math.PI));
      const last = inTable(table.logSMax, 2 * sine * sine);
      const there = atInfinity(2 * sine * sine);
      const here = atInfinity(delta);
      const corrected = (kind) => here[kind] + (last[kind] - there[kind]) / ratio;
      return { mean: corrected("mean"), gap: corrected("gap") };
    }

    /** { mean, gap }: the mean of the slope gap over [0, delta], and the slope gap E[phi'(u)^2] - E[phi'(u) phi'(v)]. */
    function pair(logQ, delta) {
      if (table.homogeneous) return atInfinity(delta);
      const place = logS(logQ);
      if (place > table.logSMax && far.length > 0) return beyond(Math.min(place, 300), delta);
      return inTable(Math.min(place, table.logSMax), delta);
    }

    /** The law of K^L/(L q) on the Edge of Chaos at variance q: limit + coefficient * rate(L). */
    function law(logQ) {
      const x = lawSeries(0, logS(logQ));
      const coefficient = table.law.constant + lawSeries(1, logS(logQ)) / x ** table.law.power;
      return { limit: table.law.limit, rate: table.law.rate, coefficient };
    }

    return {
      name: table.name,
      formula: table.formula,
      homogeneous: table.homogeneous,
      startsAtZero: table.phi0 === 0,
      sigmaWMax: table.sigmaWMax,
      sigmaBMax: table.sigmaBMax,
      bounded: far.length === 0,
      logQMax: far.length === 0 ? 2 * Math.log(Math.expm1(table.logSMax)) : Infinity,
      power,
      /** E[phi'^2]. */
      slopes: (logQ) => moment(1, logQ),
      /** E[x phi phi']/q at x = sqrt(q) Z: the slope of the variance map over sigma_w^2. */
      mapSlope: (logQ) => moment(2, logQ),
      pair,
      law,
    };
  }

  ntkEoc.series = { open, unpack, clenshaw };
})(globalThis.ntkEoc);
