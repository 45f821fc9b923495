// Formulas in sight, and those above, are set first and shown when they are set, so that no line moves under the
// reader's eyes; the others follow. layout.html adds the class "setting", and companion.css hides the text meanwhile.
async function inSightFirst() {
  const near = (formula) => formula.getBoundingClientRect().top < innerHeight;
  await MathJax.typesetPromise([...document.querySelectorAll(".math")].filter(near));
  document.body.getBoundingClientRect(); // asks for the fonts
  await document.fonts.ready;
  document.documentElement.classList.remove("setting");
  if (location.hash.length > 1) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  await new Promise((painted) => setTimeout(painted));
  return MathJax.startup.defaultPageReady();
}

if (window.MathJax) MathJax.startup = { pageReady: inSightFirst };
