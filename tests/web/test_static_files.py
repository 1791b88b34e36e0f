"""What every page loads: small, and nothing from anywhere else."""

import gzip
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "static" / "dist"
EVERY_PAGE = (
    "app.css",
    "app.js",
    "boot.js",
    "icons.svg",
    "mark.svg",
    "inter-latin-wght-normal.woff2",
)
BUDGET = 200 * 1000
NAMESPACE = re.compile(r"http://www\.w3\.org/[\w/]+")


def test_an_ordinary_page_loads_less_than_its_budget() -> None:
    size = sum(len(gzip.compress((DIST / name).read_bytes(), 9)) for name in EVERY_PAGE)
    assert size < BUDGET, f"{size} bytes compressed"


def test_nothing_refers_to_another_host_or_to_inline_data() -> None:
    for path in [*DIST.glob("*.css"), *DIST.glob("*.svg")]:
        text = NAMESPACE.sub("", path.read_text())
        assert not re.search(r"https?://", text), path.name
        assert "data:" not in text, path.name


def test_every_icon_that_a_page_asks_for_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([\w-]+)"', (DIST / "icons.svg").read_text()))
    sources = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "apps").rglob("*.py")]
    for path in sources:
        text = path.read_text()
        asked = re.findall(r'{% icon "([\w-]+)"', text)
        asked += re.findall(r'icon_name="([\w-]+)"', text)
        if path.suffix == ".py" and "/web/" in str(path):
            asked += re.findall(r'Look\([^"]*"[^"]*"\), "([\w-]+)"', text)
        assert set(asked) <= sprite, path.name


def test_the_fonts_that_the_stylesheet_names_are_there() -> None:
    named = re.findall(r"url\(\"?\./([\w.-]+)", (DIST / "app.css").read_text())
    assert named
    assert [name for name in named if not (DIST / name).exists()] == []
