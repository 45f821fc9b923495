"""The built site in a real browser: every page of the contents opens cleanly, is readable and accessible."""

import functools
import gzip
import http.server
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from built_site import site, table_of_contents
from playwright.sync_api import Browser, Page, Response

PAGES = [*table_of_contents(), "search", "genindex"]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
PAPER = {"width": 718, "height": 1000}  # A4 without margins, at 96 dots per inch
UNFOLD = "document.querySelectorAll('main details').forEach(folded => folded.open = true)"
# Formulas in a line that end beyond it, and displayed ones that scroll although only their number is in the way.
CUT = """[...document.querySelectorAll("main span.math mjx-math")].filter((formula) =>
  Math.max(...[...formula.children].map((part) => part.getBoundingClientRect().right)) >
  formula.closest("p, dd, li, td, div").getBoundingClientRect().right + 1).map((formula) => formula.textContent)"""
BESIDE = """[...document.querySelectorAll("main div.math:has(.eqno) mjx-container")].filter((formula) =>
  formula.scrollWidth > formula.clientWidth + 1 &&
  formula.parentElement.clientWidth > formula.clientWidth + 1).map((formula) => formula.textContent)"""
BUDGET = 1_500_000  # bytes on the wire
STILL = 0.02  # cumulative layout shift; the search engines call 0.1 good
WATCH = """window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, sources } of list.getEntries())
    shifts.push([value, ...sources.map(({ node }) => node?.outerHTML?.slice(0, 100) ?? "")]);
}).observe({ type: "layout-shift", buffered: true });"""
COMPRESSED = (".html", ".css", ".js", ".svg", ".json")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files as public hosts do, text compressed, and says nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in COMPRESSED or not path.is_file():
            return super().do_GET()
        body = gzip.compress(path.read_bytes(), mtime=0)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the site is served."""
    handler = functools.partial(Handler, directory=str(site()))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Visit(NamedTuple):
    """An open page: what went wrong while it loaded, how many bytes came over the wire, and what moved."""

    page: Page
    complaints: list[str]
    received: dict[str, int]
    shifts: list[tuple[float, ...]]


@pytest.fixture(scope="module", params=PAGES)
def visit(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Each page is opened once, with nothing in the cache, and is ready when its formulas are."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
    complaints, received = [], {}

    def complain(condition: object, text: str) -> None:
        if condition:
            complaints.append(text)

    def note(answer: Response) -> None:
        complain(not answer.ok, f"{answer.status}: {answer.url}")
        received[answer.url] = int(answer.headers.get("content-length", 0))

    context.on("console", lambda message: complain(message.type == "error", message.text))
    context.on("weberror", lambda error: complain(True, str(error.error)))
    context.on("request", lambda asked: complain(not asked.url.startswith((address, "data:")), asked.url))
    context.on("requestfailed", lambda asked: complain(True, f"failed: {asked.url}"))
    context.on("response", note)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(f"{address}/{request.param}.html", wait_until="networkidle")
    page.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
    shifts = page.evaluate("shifts")
    # A colour on its way to another one is nobody's fault either.
    page.add_style_tag(content="*, ::before, ::after { animation: none !important; transition: none !important }")
    # Copies: what the tests do to the page is not the page's fault.
    yield Visit(page, list(complaints), dict(received), shifts)
    context.close()


def test_page_opens_cleanly(visit: Visit) -> None:
    assert visit.complaints == []


def test_page_is_light(visit: Visit) -> None:
    assert 0 < sum(visit.received.values()) < BUDGET


def test_nothing_moves_while_the_page_loads(visit: Visit) -> None:
    assert sum(value for value, *_ in visit.shifts) < STILL, visit.shifts


def test_formulas_are_set(visit: Visit) -> None:
    unset = "[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length"
    assert visit.page.evaluate(unset) == 0
    assert visit.page.locator("mjx-merror, [data-mjx-error]").all_inner_texts() == []


def test_images_are_described_and_sized(visit: Visit) -> None:
    for image in visit.page.locator("main img").all():
        source, alt = image.get_attribute("src") or "", (image.get_attribute("alt") or "").strip()
        assert len(alt.split()) >= 5 and Path(source).name not in alt, f"{source}: {alt!r}"
        assert image.get_attribute("width") and image.get_attribute("height"), f"{source} has no size: the page jumps"
        assert image.evaluate("image => image.naturalWidth") > 0, f"{source} is no picture"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    visit.page.evaluate(UNFOLD)
    visit.page.emulate_media(color_scheme=scheme)
    visit.page.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'")
    found = Axe().run(visit.page).response["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    assert [(entry["id"], [node["html"][:200] for node in entry["nodes"]][:5]) for entry in serious] == []


def test_phone_scrolls_one_way(visit: Visit) -> None:
    visit.page.evaluate(UNFOLD)
    visit.page.set_viewport_size(PHONE)
    beyond = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    wide = visit.page.evaluate(f"{beyond}.slice(0, 8).map(e => e.outerHTML.slice(0, 150))")
    width = visit.page.evaluate("document.documentElement.scrollWidth")
    cut, beside = visit.page.evaluate(CUT), visit.page.evaluate(BESIDE)
    visit.page.set_viewport_size(DESKTOP)
    assert width <= PHONE["width"], wide
    assert (cut, beside) == ([], [])


def test_page_prints_cleanly(visit: Visit) -> None:
    """On paper the page is dark on white even where the screen is dark, and no line runs over the margin."""
    page = visit.page
    page.emulate_media(color_scheme="dark", media="print")
    page.set_viewport_size(PAPER)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    lines = "[...document.querySelectorAll('main pre')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    seen = {
        "width": page.evaluate("document.documentElement.scrollWidth"),
        "cut off": page.evaluate(lines),
        "folded": page.evaluate("document.querySelectorAll('main .cell details:not([open], .figure-card)').length"),
        "brightness": page.evaluate("getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3).map(Number)"),
        "buttons": page.locator(".bd-sidebar, .bd-header-article, .copybtn").locator("visible=true").count(),
    }
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(color_scheme="light", media="screen")
    page.set_viewport_size(DESKTOP)
    assert seen["width"] <= PAPER["width"] and seen["cut off"] == seen["folded"] == seen["buttons"] == 0, seen
    assert max(seen["brightness"]) < 100, seen
    assert page.pdf(format="A4").startswith(b"%PDF")
