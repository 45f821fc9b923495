/** Loads the table of an activation as a script: a page opened from the disk may load scripts, but no data. */
(function (ntkEoc) {
  "use strict";

  const folder = new URL("tables/", document.currentScript.src);
  const opened = new Map();

  /** What every table's script calls. */
  function add(table) {
    opened.set(table.name, ntkEoc.series.open(table));
  }

  /** A promise of an activation; it fails where the table is missing or broken. */
  function load(name) {
    if (opened.has(name)) return Promise.resolve(opened.get(name));
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(`${name}.js`, folder).href;
      script.onload = () => (opened.has(name) ? resolve(opened.get(name)) : reject(new Error(`no table of ${name}`)));
      script.onerror = () => reject(new Error(`no table of ${name}`));
      script.addEventListener("load", () => script.remove());
      document.head.append(script);
    });
  }

  ntkEoc.tables = { add, load };
})(globalThis.ntkEoc);
