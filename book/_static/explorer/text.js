globalThis.ntkEoc = globalThis.ntkEoc || {};
/** Numbers as the page writes them. */
(function (ntkEoc) {
  "use strict";

  const MINUS = "−";

  /** Four significant digits; powers of ten where plain digits would be long. */
  function number(value) {
    if (value === Infinity) return "∞";
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(4))).replace("-", MINUS);
    const [digits, exponent] = value.toExponential(2).split("e");
    return `${digits} × 10${power(Number(exponent))}`.replace("-", MINUS);
  }

  /** exp(logValue), however large or small it is. */
  function exponential(logValue) {
    if (Math.abs(logValue) < 230 || !Number.isFinite(logValue)) return number(Math.exp(logValue));
    const exponent = Math.floor(logValue / Math.LN10);
    return `${(10 ** (logValue / Math.LN10 - exponent)).toFixed(2)} × 10${power(exponent)}`;
  }

  /** A whole number in superscript digits. */
  function power(exponent) {
    return String(exponent).replace(/./g, (sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]));
  }

  /** 1 - delta, with as many digits as delta still moves. */
  function correlation(delta) {
    if (delta === 0) return "1";
    return delta > 1e-3 ? number(1 - delta) : `1 ${MINUS} ${number(delta)}`;
  }

  const count = (value) => value.toLocaleString("en");
  const layers = (value) => (value === 1 ? "1 layer" : `${count(value)} layers`);
  const percent = (value) => `${String(Number((100 * value).toPrecision(value > 0.99 ? 4 : 3))).replace("-", MINUS)} %`;
  const signed = (value) => `${value < 0 ? MINUS : "+"} ${number(Math.abs(value))}`;
  const fraction = (value) => ({ 0.25: "1/4", [1 / 3]: "1/3" })[value] || number(value);

  ntkEoc.text = { number, exponential, power, correlation, count, layers, percent, signed, fraction };
})(globalThis.ntkEoc);
