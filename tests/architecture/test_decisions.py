"""The index of decisions is whole: each page under its own number and title."""

import re
from pathlib import Path

from tests.architecture.source import ROOT

DECISIONS = ROOT / "docs" / "adr"


def _pages() -> list[Path]:
    return sorted(DECISIONS.glob("[0-9]*.md"))


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = [page.name[:4] for page in _pages()]
    assert numbers
    assert len(numbers) == len(set(numbers))


def test_the_index_names_every_decision_with_its_title() -> None:
    headings = [page.read_text().splitlines()[0].removeprefix("# ") for page in _pages()]
    titles = dict(heading.split(" ", 1) for heading in headings)
    rows = re.findall(
        r"^\| \[(\d{4})\]\((\S+)\) \| (.+) \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE
    )
    assert [name for _, name, _ in rows] == [page.name for page in _pages()]
    assert {number: title for number, _, title in rows} == titles
