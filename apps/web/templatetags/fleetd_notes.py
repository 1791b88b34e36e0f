"""Release notes: Markdown that people wrote, as HTML that cannot do anything."""

from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

from django import template
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

register = template.Library()

# All that is understood. Raw HTML and images are not: they stay text.
RULES = (
    "autolink", "backticks", "blockquote", "code", "emphasis", "entity", "escape", "fence",
    "heading", "hr", "link", "list", "newline", "strikethrough", "table",
)  # fmt: skip
SCHEMES = ("http", "https", "mailto")
# The page has its own first and second headings.
HEADINGS = {"h1": "h3", "h2": "h4", "h3": "h5"}


@register.filter
def notes(text: str) -> SafeString:
    """Markdown as HTML. Only what `RULES` names becomes elements, and nothing loads by itself."""
    tokens = _markdown().parse(text)
    _tame(tokens)
    html = _markdown().renderer.render(tokens, _markdown().options, {})
    return mark_safe(html)  # noqa: S308 - the library escapes all text, and makes no other elements


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("zero", {"html": False, "maxNesting": 20}).enable(list(RULES))
    made.validateLink = _is_link  # type: ignore[method-assign]
    return made


def _is_link(url: str) -> bool:
    """Whole addresses only: a relative one would point into the platform's own pages."""
    try:
        return urlsplit(url.strip()).scheme.lower() in SCHEMES
    except ValueError:
        return False


def _tame(tokens: Sequence[Token]) -> None:
    for token in tokens:
        token.tag = HEADINGS.get(token.tag, "h6" if token.tag in ("h4", "h5") else token.tag)
        if token.type == "link_open":
            token.attrSet("rel", "noopener noreferrer nofollow")
        if token.type in ("th_open", "td_open"):
            token.attrs.pop("style", None)  # the policy for content forbids it
        if token.type == "table_open":
            token.attrSet("class", "data-table")
        if token.type == "fence":
            token.info = ""
        _tame(token.children or ())
