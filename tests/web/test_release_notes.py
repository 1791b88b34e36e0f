"""Notes of releases are Markdown; hostile ones do nothing in a browser."""

from html.parser import HTMLParser

import pytest

from apps.web.templatetags.fleetd_notes import notes

ELEMENTS = {
    "a", "blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "rel", "title"}, "ol": {"start"}, "table": {"class"}}


class Seen(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.test/track.png)",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](&#x6A;avascript&colon;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "[a](//evil.test/x)",
    "[a](/settings/delete)",
    "<javascript:alert(1)>",
    '[a](https://b.test "\\"onmouseover=alert(1) x=\\"")',
    '[a](https://b.test/"onmouseover=alert(1))',
    '```"><script>alert(1)</script>\nx\n```',
    "```x onload=alert(1)\n</code><script>alert(1)</script>\n```",
    "`<b onclick=alert(1)>`",
    "| a | b |\n| :- | -: |\n| <svg onload=alert(1)> | [x](javascript:1) |",
    "a <!-- --!><img src=x onerror=alert(1)> -->",
    "<style>*{display:none}</style>",
    "<form action=/logout><button>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\x00<scr\x00ipt>",
    "# <iframe src=//evil.test>",
    "> " * 500 + "<b>",
    "[" * 3000 + "](javascript:1)",
    "*" * 9000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_but_plain_elements_comes_out(text: str) -> None:
    for tag, attributes in Seen(notes(text)).elements:
        assert tag in ELEMENTS
        assert set(attributes) <= ATTRIBUTES.get(tag, set())
        href = attributes.get("href") or "https:"
        assert href.startswith(("http:", "https:", "mailto:"))


def test_notes_are_markdown() -> None:
    html = notes("# Fixes\n\n- **less** memory\n- see [it](https://a.test/1)\n\n`x`")
    assert "<h3>Fixes</h3>" in html
    assert "<strong>less</strong>" in html
    assert '<a href="https://a.test/1" rel="noopener noreferrer nofollow">it</a>' in html
    assert "<code>x</code>" in html


def test_plain_notes_keep_their_paragraphs() -> None:
    assert notes("one\n\ntwo & <three>") == "<p>one</p>\n<p>two &amp; &lt;three&gt;</p>\n"
