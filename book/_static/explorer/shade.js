/** The two phases of an activation as a small picture: the paler, the closer chi is to 1. */
(function (ntkEoc) {
  "use strict";

  const SIZE = 40;
  const HALF = 0.2; // |log chi| at which a colour has half its strength
  const { meanfield } = ntkEoc;

  /** log chi at the limiting variance, row by row from the largest sigma_w down. */
  function logChi(act) {
    const found = new Float64Array(SIZE * SIZE);
    for (let row = 0; row < SIZE; row++) {
      for (let column = 0; column < SIZE; column++) {
        const sigmaB = ((column + 0.5) / SIZE) * act.sigmaBMax;
        const sigmaW = (1 - (row + 0.5) / SIZE) * act.sigmaWMax;
        const logQ = meanfield.limitLogVariance(act, sigmaB, sigmaW);
        found[row * SIZE + column] = Math.log(sigmaW ** 2 * act.slopes(Math.min(Math.max(logQ, -30), 30)));
      }
    }
    return found;
  }

  /** The picture as an address, in two colours given as [red, green, blue]. */
  function picture(values, ordered, chaotic) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SIZE;
    const context = canvas.getContext("2d");
    const image = context.createImageData(SIZE, SIZE);
    values.forEach((value, i) => {
      const strength = Math.abs(value) / (Math.abs(value) + HALF);
      image.data.set([...(value < 0 ? ordered : chaotic), 200 * strength], 4 * i);
    });
    context.putImageData(image, 0, 0);
    return canvas.toDataURL();
  }

  ntkEoc.shade = { logChi, picture };
})(globalThis.ntkEoc);
