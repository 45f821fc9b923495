// A formula or table that is wider than a phone scrolls by itself; the keyboard must reach it too.
function makeScrollersFocusable() {
  for (const box of document.querySelectorAll("mjx-container[display='true'], .cell_output .output, pre")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

async function whenReady() {
  await window.MathJax?.startup?.promise;
  makeScrollersFocusable();
  addEventListener("resize", makeScrollersFocusable);
}

addEventListener("load", whenReady);
