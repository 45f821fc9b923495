// What a link refers to (an equation, figure, theorem, paper, function or symbol) is shown beside it, on hover and on
// focus. The page of another chapter is fetched from this site; opened from a disk, only the page's own things are shown.
const KINDS = "div.math, figure, .admonition, div.citation, dl.py, tr";
const DELAY = 250; // milliseconds: a pointer that only passes opens nothing, and one on its way to the box closes nothing

const box = Object.assign(document.createElement("div"), { className: "preview", hidden: true });
const pages = new Map();
let shown = null;

function documentAt(url) {
  if (url.pathname === location.pathname) return document;
  if (!pages.has(url.pathname)) {
    const read = (text) => new DOMParser().parseFromString(text, "text/html");
    pages.set(url.pathname, fetch(url.pathname).then((answer) => answer.text()).then(read));
  }
  return pages.get(url.pathname);
}

async function copyFor(link) {
  const url = new URL(link.href);
  if (url.pathname !== location.pathname && location.protocol === "file:") return null;
  const named = (await documentAt(url)).getElementById(decodeURIComponent(url.hash.slice(1)));
  const found = named?.matches("dt.sig") ? named.parentElement : named; // a function with what its docstring says
  if (!found?.matches(KINDS)) return null;
  const copy = document.importNode(found, true);
  for (const each of [copy, ...copy.querySelectorAll("[id]")]) each.removeAttribute("id");
  for (const each of copy.querySelectorAll("[href]")) each.href = new URL(each.getAttribute("href"), url);
  for (const each of copy.querySelectorAll("[src]")) each.src = new URL(each.getAttribute("src"), url);
  return copy;
}

async function show(link) {
  shown = link;
  const copy = await copyFor(link);
  if (!copy || shown !== link) return;
  if (!link.matches(".symbol")) link.removeAttribute("title"); // the browser would show it on top
  box.replaceChildren(copy);
  box.hidden = false;
  if (!box.querySelector("mjx-container")) await window.MathJax?.typesetPromise?.([box]);
  const { left, top, bottom } = link.getBoundingClientRect();
  const below = bottom + box.offsetHeight < innerHeight || top < box.offsetHeight;
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${below ? bottom : top - box.offsetHeight}px`;
}

function hide() {
  shown = null;
  box.hidden = true;
}

// After each coming and going: what is the reader at now?
function look(link) {
  setTimeout(() => {
    if (!link.matches(":hover, :focus-visible")) return shown === link && !box.matches(":hover") && hide();
    if (shown !== link) show(link);
  }, DELAY);
}

if (matchMedia("(hover: hover)").matches) {
  document.body.append(box);
  box.addEventListener("mouseleave", () => shown && look(shown));
  for (const link of document.querySelectorAll("main a.reference.internal[href*='#']")) {
    for (const event of ["mouseenter", "mouseleave", "focus", "blur"]) link.addEventListener(event, () => look(link));
  }
  addEventListener("keydown", (event) => event.key === "Escape" && hide());
  addEventListener("scroll", hide, { passive: true });
}
