// A formula or table that is wider than a phone scrolls by itself; the keyboard must reach it too.
function makeScrollersFocusable() {
  for (const box of document.querySelectorAll("mjx-container[display='true'], .cell_output .output, pre")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

// A formula in a line that has no room in it may break. All are measured before any is changed.
function breakWideFormulas() {
  const formulas = [...document.querySelectorAll("mjx-container:not([display])")];
  for (const formula of formulas) formula.classList.remove("wide");
  const wide = formulas.filter((formula) => formula.offsetWidth > formula.closest("p, dd, li, td, div").clientWidth);
  for (const formula of wide) formula.classList.add("wide");
}

// A displayed formula that is a little too wide for a phone is set smaller, down to three quarters (companion.css).
function fitDisplayedFormulas() {
  const formulas = [...document.querySelectorAll("mjx-container[display='true']")];
  for (const formula of formulas) formula.style.removeProperty("--fit");
  const ratios = formulas.map((formula) => formula.clientWidth / formula.scrollWidth);
  formulas.forEach((formula, k) => ratios[k] < 1 && formula.style.setProperty("--fit", Math.max(ratios[k] - 0.01, 0.75)));
}

// The arrows that unfold the side bar have no text.
function nameArrows() {
  for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary:not([aria-label])")) {
    arrow.ariaLabel = "Pages below " + (arrow.closest("li")?.querySelector("a")?.textContent.trim() ?? "this one");
  }
}

function fitFormulas() {
  breakWideFormulas();
  fitDisplayedFormulas();
  makeScrollersFocusable();
}

async function whenReady() {
  nameArrows();
  await window.MathJax?.startup?.promise;
  fitFormulas();
  addEventListener("resize", fitFormulas);
}

// Paper is white and cannot be unfolded.
let before = null;
addEventListener("beforeprint", () => {
  before = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  for (const folded of document.querySelectorAll("main details:not([open], .figure-card)")) folded.open = true;
});
addEventListener("afterprint", () => {
  if (before) document.documentElement.dataset.theme = before;
});

addEventListener("load", whenReady);
