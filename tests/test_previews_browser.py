"""Beside a link: what it refers to, on hover and on focus, from this site alone; and where a page opens."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from built_site import site
from playwright.sync_api import Browser, Locator, Page
from test_site_browser import DESKTOP, address

__all__ = ["address"]  # a fixture
CHAPTER, READY = "book/prop2_edge.html", "async () => { if (window.MathJax) await MathJax.startup.promise }"
# A link of each kind, and what its preview must say. The chapter's own things, then things of other pages.
OWN = {
    "equation": ("[href='#equation-eq-edge-recursion']", "(5.1)"),
    "figure": ("[href='#fig-edge-shares']", "Fig. 5.2"),
    "theorem": ("[href='#thm-edge']", "Theorem 5.1"),
}
OTHER = {
    "paper": ("[href^='bibliography.html#']", "Hayou"),
    "function": ("[href$='#ntk_eoc.experiments.edge.limits']", "limits"),
    "symbol": (".symbol[href$='#symbol-q']", "variance of a pre-activation"),
}


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A chapter; it must end without a complaint in the console and without a request to anywhere else."""
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    troubles: list[str] = []
    context.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on(
        "request", lambda asked: None if asked.url.startswith((address, "file:")) else troubles.append(asked.url)
    )
    page = context.new_page()
    page.goto(f"{address}/{CHAPTER}", wait_until="networkidle")
    page.evaluate(READY)
    yield page
    context.close()
    assert troubles == []


def link(page: Page, selector: str) -> Locator:
    return page.locator(f"main a.reference.internal{selector}").first


def preview(page: Page) -> Locator:
    return page.locator(".preview")


@pytest.mark.parametrize("kind", [*OWN, *OTHER])
def test_hover_shows_what_a_link_refers_to(page: Page, kind: str) -> None:
    selector, text = (OWN | OTHER)[kind]
    assert not preview(page).is_visible()
    link(page, selector).hover()
    preview(page).wait_for(state="visible")
    assert text in preview(page).inner_text()
    assert preview(page).locator("[id]").count() == 0
    unset = ".math:not(:has(mjx-container))"
    page.wait_for_function(f"!document.querySelector('.preview').querySelector('{unset}')")
    box = preview(page).bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= DESKTOP["width"]
    page.mouse.move(1, 1)
    preview(page).wait_for(state="hidden")


def test_a_picture_comes_along(page: Page) -> None:
    link(page, OWN["figure"][0]).hover()
    preview(page).locator("img").wait_for(state="visible")
    assert preview(page).locator("img").evaluate("image => image.naturalWidth") > 0


def test_focus_shows_it_and_escape_closes_it(page: Page) -> None:
    target = link(page, OWN["theorem"][0])
    target.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    page.keyboard.press("Shift")  # from now on focus is by keyboard
    target.focus()
    preview(page).wait_for(state="visible")
    page.keyboard.press("Escape")
    assert not preview(page).is_visible()
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#thm-edge"


def test_the_pointer_may_go_there(page: Page) -> None:
    link(page, OTHER["paper"][0]).hover()
    preview(page).wait_for(state="visible")
    preview(page).hover()
    page.wait_for_timeout(600)
    assert preview(page).is_visible()
    page.mouse.move(1, 1)
    preview(page).wait_for(state="hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_preview_is_accessible(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.wait_for_function(f"document.documentElement.dataset.theme == '{scheme}'")
    link(page, OWN["theorem"][0]).hover()
    preview(page).wait_for(state="visible")
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []


def test_on_paper_there_is_none(page: Page) -> None:
    link(page, OWN["theorem"][0]).hover()
    preview(page).wait_for(state="visible")
    page.emulate_media(media="print")
    assert not preview(page).is_visible()


def test_from_a_disk_the_page_shows_its_own_things(page: Page) -> None:
    page.goto((site() / CHAPTER).as_uri())
    page.evaluate(READY)
    link(page, OTHER["paper"][0]).hover()
    page.wait_for_timeout(600)
    assert not preview(page).is_visible()
    link(page, OWN["theorem"][0]).hover()
    preview(page).wait_for(state="visible")


def test_on_a_phone_a_link_is_a_link(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}/{CHAPTER}", wait_until="networkidle")
    page.evaluate(READY)
    assert preview(page).count() == 0
    context.close()


def test_a_figure_opens_in_full_size(page: Page) -> None:
    figures = page.locator("main .cell figure")
    assert figures.count() == figures.locator("> a[href$='.png'] > img").count() > 3


# --- formulas in sight first -----------------------------------------------------------------


def test_a_link_into_a_page_still_arrives_after_formulas_are_set(page: Page, address: str) -> None:
    page.goto(f"{address}/book/index.html")
    page.goto(f"{address}/{CHAPTER}#equation-eq-edge-j", wait_until="networkidle")
    page.evaluate(READY)
    box = page.locator("#equation-eq-edge-j").bounding_box()
    assert box and 0 <= box["y"] < DESKTOP["height"] / 2


def test_without_mathjax_the_text_is_there(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.route("**/mathjax/**", lambda route: route.abort())
    page.goto(f"{address}/{CHAPTER}")
    page.locator("article p").first.wait_for(state="visible")
    page.close()
