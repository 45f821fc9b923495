"""What others see of a page before they open it: its description, its card, its place in the sitemap.

Addresses in cards and in the sitemap have to be absolute, so these wait until ``html.baseurl`` is configured.
"""

import re
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx

PICTURE = ("_images/headline.png", "The tangent kernel's distance from its limit against depth, in two phases")


@cache
def descriptions() -> dict[str, str]:
    """The sentence of each page."""
    return dict(yaml.safe_load((Path(__file__).parent / "descriptions.yml").read_text()))


def picture(document: nodes.document, names: dict[str, str]) -> tuple[str, str]:
    """(file, alt text) of a page's first picture, else of the front page's."""
    for image in document.findall(nodes.image):
        if image["uri"] in names and image.get("alt"):
            return f"_images/{names[image['uri']]}", image["alt"]
    return PICTURE


def tags(context: dict[str, Any], text: str, image: tuple[str, str]) -> str:
    """Meta elements for search engines and for those who paste a link somewhere."""
    title = re.sub(r"<[^>]*>", "", context.get("title") or context.get("project") or "")
    named = {"description": text, "twitter:card": "summary_large_image" if context.get("pageurl") else "summary"}
    graph = {"og:type": "article", "og:title": title, "og:description": text, "og:site_name": context["docstitle"]}
    if context.get("pageurl"):
        graph["og:url"] = context["pageurl"]
        graph["og:image"], graph["og:image:alt"] = f"{base(context['html_baseurl'])}{image[0]}", image[1]
    lines = [f'<meta name="{name}" content="{escape(value)}">' for name, value in named.items() if value]
    lines += [f'<meta property="{name}" content="{escape(value)}">' for name, value in graph.items() if value]
    return "\n".join(lines) + "\n"


def base(url: str) -> str:
    """An address with one slash at its end."""
    return url.rstrip("/") + "/"


def add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if doctree is not None:
        context["html_baseurl"] = app.config.html_baseurl
        found = tags(context, descriptions().get(page, ""), picture(doctree, app.builder.images))
        context["metatags"] = context.get("metatags", "") + found


def extra_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The page of a wrong address, and the address without a page, which leads to the first."""
    home = app.config.html_baseurl
    yield "404", {"home": base(home) if home else "/"}, "404.html"
    first = app.config.root_doc
    yield "index", {"first": app.builder.get_target_uri(first), "said": descriptions().get(first, "")}, "home.html"


def sitemap(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.config.html_baseurl and app.builder.format == "html":
        pages = [base(app.config.html_baseurl) + app.builder.get_target_uri(name) for name in sorted(app.env.all_docs)]
        urls = "\n".join(f"  <url><loc>{escape(page)}</loc></url>" for page in pages)
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        Path(app.outdir, "sitemap.xml").write_text(f"{head}{urls}\n</urlset>\n")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", add_tags)
    app.connect("html-collect-pages", extra_pages)
    app.connect("build-finished", sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
