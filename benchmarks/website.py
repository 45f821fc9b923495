"""How soon the built site can be read and played with in Chromium: largest paints, the explorer's first use and redraw.

A run opens every page with nothing in the cache, from a server on this machine; results/website.json holds each. There
is no peer: the limits are those that we set ourselves.
"""

import functools
import http.server
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from common import contest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html"))
TURNS, SIZES = 3, {"desktop": (1280, 900), "phone": (360, 740)}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WATCH = """new PerformanceObserver((list) => {
  for (const paint of list.getEntries()) window.largest = paint.startTime;
}).observe({ type: "largest-contentful-paint", buffered: true });"""
MOVE = """async () => {
  const slider = document.querySelector('[data-is="sigma_w-slider"]');
  const times = [];
  for (let k = 0; k < 40; k++) {
    slider.value = 0.5 + 0.07 * k;
    slider.dispatchEvent(new Event("input"));
    await new Promise((done) => setTimeout(done));
    times.push(performance.getEntriesByName("explorer")[0].duration);
  }
  return times;
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def opened(browser: "Browser", address: str, size: tuple[int, int], script: str, ready: str = "true") -> Any:
    """What a script finds on a page in a fresh context once the page is ready."""
    with browser.new_context(viewport={"width": size[0], "height": size[1]}) as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        page.goto(address, wait_until="networkidle")
        page.wait_for_function(ready)
        return page.evaluate(script)


def row(work: str, limit: float, times: list[float]) -> dict[str, Any]:
    """A line of the table, in seconds; times come in milliseconds."""
    return {"work": work, "limit_s": limit, "median_s": median(times) / 1e3, "slowest_s": max(times) / 1e3}


def measure(browser: "Browser", base: str, pages: list[str]) -> list[dict[str, Any]]:
    """Largest paint of each page on each size, then the explorer."""
    rows = []
    for name, size in SIZES.items():
        paints = {
            page: [opened(browser, f"{base}/{page}", size, "largest", "window.largest") for _ in range(TURNS)]
            for page in pages
        }
        found = row(f"largest paint of {len(pages)} pages, {name}", 1.5, [median(times) for times in paints.values()])
        rows.append(found | {"pages_ms": paints})
        first = "performance.getEntriesByName('explorer first')[0].duration"
        explorer, ready = f"{base}/book/explorer.html", "globalThis.ntkEoc?.now"
        times = [opened(browser, explorer, size, first, ready) for _ in range(TURNS)]
        rows.append(row(f"explorer's first use after navigation, {name}", 1.0, times))
        moves = [time for _ in range(TURNS) for time in opened(browser, explorer, size, MOVE, ready)]
        rows.append(row(f"explorer's redraw after a slider's move, {name}", 0.05, moves))
    return rows


def main() -> None:
    """Write results/website.json, or say what is missing."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    pages = sorted(path.relative_to(SITE).as_posix() for path in (SITE / "book").rglob("*.html"))
    if not pages or chromium is None:
        return print("website: left out, " + ("there is no Chromium" if pages else "there is no built site: make book"))
    start, handler = time.perf_counter(), functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        rows, version = measure(browser, f"http://127.0.0.1:{server.server_port}", pages), browser.version
        browser.close()
        server.shutdown()
    for found in rows:
        print(f"  {found['work']}: median {found['median_s']:.3g} s, slowest {found['slowest_s']:.3g} s", flush=True)
    title = f"The site in Chromium {version}, from a local server"
    config = {"turns": TURNS, "load": os.getloadavg()[0]}
    contest.write("website", {"title": title, "rows": rows}, time.perf_counter() - start, config)


if __name__ == "__main__":
    sys.exit(main())
