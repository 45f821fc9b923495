"""The last touch to a page's HTML: images know their size, figures open in full, and roles say what is true."""

import re
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

# Docutils calls its citations a list of entries, but their children are not what those roles allow.
WRONG_ROLES = (' role="list"', ' role="doc-biblioentry"')
SIGNATURE = re.compile(r"<dl>\s*(<dd>.*?)</dl>", re.DOTALL)
FIGURE = re.compile(r'(<figure\b[^>]*>\s*)(<img\b[^>]*\bsrc="([^"]*)"[^>]*>)')
IMAGE = re.compile(r'<img\b[^>]*\bsrc="[^"]*?_images/(?P<name>[^"/]+\.(?:png|jpe?g|gif))"[^>]*>')


def sized(tag: str, size: tuple[int, int]) -> str:
    """An img element with its size in pixels, so that the page does not jump when the picture arrives.

    >>> sized('<img alt="A" src="a.png" />', (960, 570))
    '<img width="960" height="570" decoding="async" alt="A" src="a.png" />'
    """
    return re.sub(r"^<img\b", f'<img width="{size[0]}" height="{size[1]}" decoding="async"', tag)


def with_full_size(body: str) -> str:
    """HTML whose figures lead to their picture in full size: what has two panels is small on a phone.

    >>> with_full_size('<figure id="a"><img src="a.png" /></figure>')
    '<figure id="a"><a class="image-reference" href="a.png"><img src="a.png" /></a></figure>'
    """
    return FIGURE.sub(r'\1<a class="image-reference" href="\3">\2</a>', body)


def without_wrong_roles(body: str) -> str:
    """HTML without the roles that docutils gets wrong.

    >>> without_wrong_roles('<div role="list" class="citation-list"></div>')
    '<div class="citation-list"></div>'
    """
    for role in WRONG_ROLES:
        body = body.replace(role, "")
    return body


def with_lines_for_lists(body: str) -> str:
    """HTML whose long signatures are lines: Sphinx writes them as definitions of no term.

    >>> with_lines_for_lists("f(<dl><dd><em>a</em>,</dd></dl>)")
    'f(<span class="sig-lines"><span><em>a</em>,</span></span>)'
    """
    return SIGNATURE.sub(
        lambda match: f'<span class="sig-lines">{match[1].replace("dd>", "span>").strip()}</span>',
        body,
    )


def finish(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if not context.get("body"):
        return
    files = {name: Path(app.srcdir, path) for path, name in getattr(app.builder, "images", {}).items()}

    def with_size(match: re.Match[str]) -> str:
        if "width=" in match[0] and "height=" in match[0]:
            return match[0]
        with Image.open(files[match["name"]]) as image:
            return sized(match[0], image.size)

    body = with_full_size(with_lines_for_lists(without_wrong_roles(context["body"])))
    context["body"] = IMAGE.sub(with_size, body)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
