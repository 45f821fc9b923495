/**
 * The Gaussian expectations of one activation, from the Chebyshev series that the Python package wrote.
 *
 * The same formulas as ntk_eoc/explorer/series.py. Variances are handled as their logarithm `logQ`, so that none is too
 * large or too small; `delta` is 1 - correlation and never computed by subtraction.
 */
globalThis.ntkEoc = globalThis.ntkEoc || {};
(function (ntkEoc) {
  "use strict";

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

  /** A function (row, logQ) => value for a (rows, n) array of series in t = s/(1 + s), s = sqrt(q), over [0, tMax]. */
  function inVariance(packed, tMax) {
    const { shape, data } = unpack(packed);
    const n = shape[1];
    return (row, logQ) => {
      const t = Math.min(1 / (1 + Math.exp(-0.5 * logQ)), tMax);
      return clenshaw(data, row * n, n, (2 * t) / tMax - 1);
    };
  }

  /** Collapses series in (log(1 + s), w) to series in w at one s; keeps the last, since variances settle. */
  function rowsOf(packed, logSMax) {
    const { shape, data } = unpack(packed);
    const [kinds, m, n] = shape;
    const row = new Float64Array(kinds * n);
    let kept = NaN;
    return (logS) => {
      if (logS === kept) return row;
      kept = logS;
      const x = (2 * logS) / logSMax - 1;
      row.fill(0);
      let polynomial = 1;
      let next = x;
      for (let i = 0; i < m; i++) {
        for (let kind = 0; kind < kinds; kind++) {
          const start = (kind * m + i) * n;
          for (let k = 0; k < n; k++) row[kind * n + k] += polynomial * data[start + k];
        }
        [polynomial, next] = [next, 2 * x * next - polynomial];
      }
      return row;
    };
  }

  /**
   * An activation, opened from its table.
   * @param {object} table what `ntk_eoc.explorer.files.table` wrote
   */
  function open(table) {
    const moment = inVariance(table.moments, table.tMax);
    const lawSeries = inVariance(table.law.series, table.tMax);
    const rowAt = rowsOf(table.pair, table.logSMax);
    const far = unpack(table.far).data;
    const degree = table.pair.shape[2];

    /** E[phi^2]/q. */
    function power(logQ) {
      return moment(0, logQ) * (table.phi0 ? 1 + table.phi0 ** 2 * Math.exp(-logQ) : 1);
    }

    /** { mean, gap }: the mean of the slope gap over [0, delta], and the slope gap E[phi'(u)^2] - E[phi'(u) phi'(v)]. */
    function pair(logQ, delta) {
      const logS = logQ > 0 ? 0.5 * logQ + Math.log1p(Math.exp(-0.5 * logQ)) : Math.log1p(Math.exp(0.5 * logQ));
      const beyond = table.homogeneous || (far.length > 0 && logS > table.logSMax);
      const row = beyond ? far : rowAt(Math.min(logS, table.logSMax));
      const logKappa = beyond ? Math.log(table.farKappa) : Math.max(logS, 1e-6);
      const kappa = Math.exp(logKappa);
      const tangent = Math.min(Math.sqrt(delta / (2 - delta)), 1e300);
      const w = (Math.log1p(kappa * tangent) - Math.log1p(tangent / kappa)) / (2 * logKappa);
      const sine = Math.sqrt(0.5 * delta);
      const apart = 2 * Math.expm1(logS) * sine;
      const norm =
        beyond || table.kinkPower === 1 ? sine : (apart * apart) / ((1 + apart) * Math.exp(logS));
      return {
        mean: norm * clenshaw(row, 0, degree, 2 * w - 1),
        gap: norm * clenshaw(row, degree, degree, 2 * w - 1),
      };
    }

    /** The law of K^L/(L q) on the Edge of Chaos at variance q: limit + coefficient * rate(L). */
    function law(logQ) {
      const x = lawSeries(0, logQ);
      const coefficient = table.law.constant + lawSeries(1, logQ) / x ** table.law.power;
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
