"""The explorer in a real browser, from the local disk: by mouse, by keyboard, and its numbers against the package."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from ntk_eoc.activations import NAMED
from ntk_eoc.depth import depth_kernels
from ntk_eoc.explorer import CATALOGUE, series
from ntk_eoc.meanfield import eoc_points, phase

ROOT = Path(__file__).parents[1] / "book"
# The colours that the book's theme gives its pages.
THEMES = {
    "light": "--pst-color-background: #ffffff; --pst-color-text-base: #222832;",
    "dark": """--pst-color-background: #121212; --pst-color-surface: #29313d; --pst-color-border: #48566b;
        --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; --pst-color-link: #528fe4; color: #ced6dd;""",
}
SLIDERS = {"sigma_w": "Standard deviation of the weights", "sigma_b": "Standard deviation of the biases"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as the book has it, without the book's theme around it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "_static" / "explorer", folder / "_static" / "explorer")
    text = (ROOT / "explorer.md").read_text()
    parts = re.findall(r"```\{raw\} html\n(.*?)```", text, re.DOTALL)
    image = re.search(r"```\{image\} (\S+)\n:alt: (.*)\n", text)
    assert image and len(parts) == 3
    picture = f'<img src="../{image[1]}" alt="{image[2]}" style="max-width: 100%">'
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f'<meta charset="utf-8">{viewport}<title>Explorer</title>'
    body = f"<main><h1>The explorer</h1>{parts[0]}{picture}{parts[1]}{parts[2]}</main>"
    (folder / "book").mkdir()
    page = folder / "book" / "explorer.html"
    page.write_text(f'<!doctype html><html lang="en" data-theme="light"><head>{head}</head><body>{body}</body></html>')
    return page


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh page, which must end without an error in the console and without a request to anywhere else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: re.match("file:|data:", request.url) or troubles.append(request.url))
    page.troubles = troubles
    yield page
    context.close()
    assert not troubles


def open_at(page: Any, site: Path, address: str = "") -> None:
    page.goto(site.as_uri() + address)
    page.wait_for_function("globalThis.ntkEoc?.now")


def part(page: Any, name: str) -> Any:
    return page.locator(f'[data-is="{name}"]')


def state(page: Any) -> dict[str, Any]:
    return page.evaluate("ntkEoc.now.state")


def choose(page: Any, activation: str) -> None:
    """Choose an activation and wait until its table has come."""
    page.get_by_label("Activation").select_option(activation)
    page.wait_for_function(f"ntkEoc.now.state.activation === '{activation}'")


@pytest.mark.parametrize("name", CATALOGUE)
@pytest.mark.thorough(first=5)
def test_numbers_agree_with_the_package(page: Any, site: Path, name: str) -> None:
    sigma_b, sigma_w, cosine, depth = 0.3, 0.35 * CATALOGUE[name].sigma_w_max, 0.4, 6
    open_at(page, site, f"#activation={name}&sigma_w={sigma_w}&sigma_b={sigma_b}&depth={depth}&cosine={cosine}")
    at, place = page.evaluate("[ntkEoc.now.result.at, ntkEoc.now.result.place]")
    found = depth_kernels(NAMED[name], cosine, [depth], sigma_b=sigma_b, sigma_w=sigma_w)
    expected = phase(NAMED[name], sigma_b=sigma_b, sigma_w=sigma_w)
    here = [np.exp(at["logQ"]), at["delta"], at["kappa"], at["share"], place["chi"]]
    ratio, share = found.ntk / found.q, found.ntk / found.ntk_diagonal
    assert np.allclose(here, [found.q[0], found.delta[0], ratio[0], share[0], expected.chi], rtol=1e-6)
    assert part(page, "number-chi").inner_text() == f"{expected.chi:.4g}"
    assert part(page, "number-perLayer").inner_text() == f"{ratio[0] / depth:.4g}"
    assert page.locator("#explorer").get_attribute("data-phase") == expected.phase


def test_tables_agree_with_the_package_at_their_nodes(page: Any, site: Path) -> None:
    open_at(page, site)
    for name, entry in CATALOGUE.items():
        s = 0.7 if entry.act.slopes else float(np.expm1(series.nodes(series.DEGREE_S, np.log1p(entry.s_max))[25]))
        kappa = series.FAR_KAPPA if entry.act.slopes else 1.0 + s
        delta = 2 * np.sin(0.5 * series.angle(series.nodes(series.DEGREE_W, 1.0), kappa)[0]) ** 2
        found = page.evaluate(
            """async ([name, logQ, deltas]) => {
              const act = await ntkEoc.tables.load(name);
              return deltas.map((delta) => act.pair(logQ, delta).gap / act.slopes(logQ));
            }""",
            [name, 2 * float(np.log(s)), delta[[1, 24, 44]].tolist()],
        )
        variance = series.jnp.array(s * s)
        expected = series.slope_gap(entry.act, variance, series.jnp.asarray(delta[[1, 24, 44]]))
        assert np.allclose(found, expected / series.second_moment(entry.act, variance, 1), rtol=0, atol=1e-6), name


def test_slider_by_keyboard(page: Any, site: Path) -> None:
    open_at(page, site)
    before = part(page, "verdict").inner_text()
    slider = page.get_by_role("slider", name=SLIDERS["sigma_w"])
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert state(page)["sigma_w"] == pytest.approx(1.5)
    assert part(page, "sigma_w-box").input_value() == "1.5"
    assert slider.get_attribute("aria-valuetext") == "1.5"
    assert before.startswith("Ordered") and part(page, "verdict").inner_text().startswith("Chaotic")


def test_every_control_is_reached_with_the_tabulator(page: Any, site: Path) -> None:
    open_at(page, site)
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.is || document.activeElement.id"))
    boxes = [f"{name}-{kind}" for name in ("sigma_w", "sigma_b", "depth", "cosine") for kind in ("box", "slider")]
    assert {"activation", "edge", "reset", *boxes} <= set(reached)


def test_slider_by_mouse(page: Any, site: Path) -> None:
    open_at(page, site)
    box = page.get_by_role("slider", name="Depth in layers").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    assert 60 < state(page)["depth"] < 160


def test_phase_diagram_by_mouse(page: Any, site: Path) -> None:
    open_at(page, site)
    box = part(page, "diagram").bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.2 * box["height"])
    found = state(page)
    assert found["sigma_w"] > 2.5 and 0.8 < found["sigma_b"] < 1.4
    assert part(page, "verdict").inner_text().startswith("Chaotic")


def test_activation_and_edge(page: Any, site: Path) -> None:
    open_at(page, site)
    choose(page, "elu")
    part(page, "edge").click()
    part(page, "sigma_b-box").fill("0.4")
    part(page, "sigma_b-box").press("Enter")
    assert state(page)["sigma_w"] == pytest.approx(eoc_points(NAMED["elu"], 0.4)[0].sigma_w, rel=1e-9)
    assert part(page, "edge").get_attribute("aria-pressed") == "true"
    assert part(page, "verdict").inner_text().startswith("On the Edge of Chaos")
    choose(page, "softplus")
    assert part(page, "edge").is_disabled()
    assert "softplus has no Edge of Chaos" in part(page, "note").inner_text()


def test_a_late_table_does_not_undo_what_was_chosen_since(page: Any, site: Path) -> None:
    held: list[Any] = []
    page.route("**/tables/elu.js", lambda route: held.append(route))
    open_at(page, site)
    page.get_by_label("Activation").select_option("elu")
    choose(page, "relu")
    held[0].continue_()
    page.wait_for_function("ntkEoc.tables.load('elu').then(() => true)")
    page.wait_for_timeout(100)
    assert state(page)["activation"] == "relu"


def test_a_view_is_shared_by_its_address(page: Any, site: Path) -> None:
    open_at(page, site)
    choose(page, "gelu")
    part(page, "cosine-box").fill("-0.3")
    part(page, "cosine-box").press("Tab")
    page.wait_for_function("location.hash.includes('gelu') && location.hash.includes('cosine=-0.3')")
    wanted, address = state(page), page.evaluate("location.hash")
    open_at(page, site, "?again" + address)
    assert state(page) == wanted


def test_a_new_address_is_followed(page: Any, site: Path) -> None:
    open_at(page, site)
    page.evaluate("location.hash = '#activation=sin&depth=7'")
    page.wait_for_function("ntkEoc.now.state.activation === 'sin'")
    assert state(page)["depth"] == 7


def test_a_link_to_a_section_is_no_state(page: Any, site: Path) -> None:
    open_at(page, site, "#explorer-trouble")
    page.wait_for_timeout(300)
    assert part(page, "note").inner_text() == ""
    assert page.evaluate("location.hash") == "#explorer-trouble"


def test_views_lead_to_their_states(page: Any, site: Path) -> None:
    open_at(page, site)
    views = page.locator("[data-view]")
    assert views.count() == 4
    for view in views.all():
        wanted = dict(pair.split("=") for pair in view.get_attribute("data-view").split("&"))
        view.click()
        page.wait_for_function(f"ntkEoc.now.state.activation === '{wanted['activation']}'")
        assert part(page, "note").inner_text() == ""
        assert state(page)["depth"] == int(wanted["depth"])
        assert state(page)["edge"] == ("edge" in wanted)


def test_out_of_range_is_clamped_and_said(page: Any, site: Path) -> None:
    open_at(page, site)
    for name, typed, kept in (("sigma_w", "40", 4), ("sigma_b", "-1", 0), ("depth", "0", 1), ("cosine", "2", 1)):
        part(page, f"{name}-box").fill(typed)
        part(page, f"{name}-box").press("Enter")
        assert state(page)[name] == kept
        assert f"{typed} became {kept}" in part(page, "note").inner_text()
        assert part(page, "note").is_visible()
    part(page, "depth-box").fill("")
    part(page, "depth-box").press("Enter")
    assert "expects a number" in part(page, "note").inner_text()
    assert state(page)["depth"] == 1


def test_a_broken_address_falls_back_and_says_so(page: Any, site: Path) -> None:
    open_at(page, site, "#activation=<b>x&sigma_w=wide&who=you")
    found = state(page)
    assert (found["activation"], found["sigma_w"]) == ("tanh", 1.2)
    note = part(page, "note")
    assert note.is_visible()
    assert all(text in note.inner_text() for text in ("“<b>x”", "tanh is used", "“wide”", "“who”"))


def test_a_missing_table_shows_the_static_picture(page: Any, site: Path) -> None:
    page.route("**/tables/tanh.js", lambda route: route.abort())
    page.goto(site.as_uri())
    page.locator(".explorer-static img").wait_for(state="visible")
    assert "no table of tanh" in page.locator("#explorer-trouble").inner_text()
    assert not part(page, "verdict").is_visible()
    page.troubles[:] = [text for text in page.troubles if "ERR_FAILED" not in text]
    page.get_by_label("Activation").select_option("relu")  # another one still works
    part(page, "verdict").wait_for(state="visible")
    assert not page.locator(".explorer-static img").is_visible()


def test_a_missing_script_shows_the_static_picture(page: Any, site: Path) -> None:
    page.route("**/explorer/charts.js", lambda route: route.abort())
    page.goto(site.as_uri())
    page.locator(".explorer-static img").wait_for(state="visible")
    assert not page.locator("#explorer").is_visible()
    page.troubles.clear()


def test_without_scripts_there_is_the_static_picture(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.as_uri())
    assert page.locator(".explorer-static img").is_visible()
    assert page.get_by_text("The explorer needs JavaScript").is_visible()
    assert not page.locator("#explorer").is_visible()
    context.close()


def test_nothing_scrolls_sideways_on_a_phone(page: Any, site: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for address in ("?a", "?b#activation=sigmoid&sigma_w=12&depth=10000", "?c#activation=elu&sigma_w=4&depth=10000"):
        open_at(page, site, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        edges = "[...document.querySelectorAll('#explorer *:not(svg *)')].map((e) => e.getBoundingClientRect().right)"
        assert max(page.evaluate(edges)) <= 360


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessibility(page: Any, site: Path, theme: str) -> None:
    open_at(page, site)
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.add_style_tag(content=f"html {{ background: var(--pst-color-background); {THEMES[theme]} }}")
    found = Axe().run(page, options={"preload": False})
    worst = [rule for rule in found.response["violations"] if rule["impact"] in ("serious", "critical")]
    bad = [(rule["id"], part["html"]) for rule in worst for part in rule["nodes"]]
    assert not bad
    for name in ("diagram", "kernel", "variance", "correlation"):
        assert part(page, name).get_attribute("role") == "img"
        assert "tanh" in part(page, name).get_attribute("aria-label")
    assert part(page, "verdict").get_attribute("aria-live") == "polite"


def test_dark_mode_recolours(page: Any, site: Path) -> None:
    open_at(page, site, "#who=you")
    shade = "document.querySelector('[data-is=diagram] image').getAttribute('href')"
    before = page.evaluate(shade)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"{shade} !== {before!r}")
    assert "“who”" in part(page, "note").inner_text()


def test_a_slider_move_draws_once_and_asks_for_nothing(page: Any, site: Path) -> None:
    """How long it takes is the business of benchmarks/website.py."""
    open_at(page, site)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    drawn = page.evaluate(
        """async () => {
          let drawn = 0;
          const count = (list) => { drawn += list.getEntriesByName("explorer").length; };
          new PerformanceObserver(count).observe({ type: "measure" });
          const slider = document.querySelector('[data-is="sigma_w-slider"]');
          for (let k = 0; k < 10; k++) {
            slider.value = 0.5 + 0.07 * k;
            slider.dispatchEvent(new Event("input"));
            await new Promise((done) => setTimeout(done));
          }
          await new Promise((done) => setTimeout(done, 500));
          return drawn;
        }"""
    )
    assert (drawn, asked) == (10, [])


def test_a_link_out_of_range_is_clamped_and_said(page: Any, site: Path) -> None:
    open_at(page, site, "#activation=tanh&sigma_w=99&sigma_b=-3&depth=123456")
    found = state(page)
    assert (found["sigma_w"], found["sigma_b"], found["depth"]) == (4, 0, 10000)
    note = part(page, "note")
    assert note.is_visible()
    assert all(text in note.inner_text() for text in ("99 became 4", "-3 became 0", "123456 became 10000"))
