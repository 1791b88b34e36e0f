r"""The order of versions: Semantic Versioning 2.0.0, and a place for everything else.

A version becomes a text whose order, character by character, is the order of versions. PostgreSQL
makes the same text of it (`fleetd_version_key`, installed by a migration), so that lists and
single decisions agree; a property test compares the two.

- `1.2.3`, with a `v` before it or not, with any number of numbers: missing ones count as 0.
- A pre-release (`-rc.1`) comes before its release, identifier by identifier as SemVer 11.4 says.
- Build metadata (`+…`) does not count: `1.0.0+a` and `1.0.0+b` are equal.
- What has another form comes before all of these, in its natural order: `r9` before `r10`.
- Only the first 200 characters count.
"""

import re

from django.db.models import CharField, Func
from django.db.models.functions import Collate

MAX_LENGTH = 200
_VERSION = re.compile(
    r"[vV]?([0-9]+(?:\.[0-9]+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+.*)?", re.DOTALL
)
_ZEROS = re.compile(r"(?:\.0+)+$")
_RUNS = re.compile(r"[0-9]+|[^0-9]+")


def version_key(version: str) -> str:
    """What versions are compared by, as `fleetd_version_key` of the database gives it."""
    text = version[:MAX_LENGTH]
    found = _VERSION.fullmatch(text)
    if found is None:
        return "0" + "".join(_run(run) for run in _RUNS.findall(text))
    core, early = found.groups()
    numbers = "".join("n" + _number(part) for part in _ZEROS.sub("", core).split("."))
    if early is None:
        return f"1{numbers}/"
    return f"1{numbers}-" + "".join(_identifier(part) for part in early.split("."))


def _number(digits: str) -> str:
    """Digits such that longer numbers come later: their count, then themselves."""
    digits = digits.lstrip("0")
    return f"{len(digits):03}{digits}"


def _identifier(part: str) -> str:
    """Numbers come before words; a word ends with what is less than all of its characters."""
    is_number = all(char in "0123456789" for char in part)
    return f"1{_number(part)}" if is_number else f"2{part} "


def _run(run: str) -> str:
    return f"n{_number(run)}" if run[0] in "0123456789" else f"t{run}"


class VersionKey(Func):
    """`version_key` in SQL; compared byte by byte, which for UTF-8 is character by character."""

    function = "fleetd_version_key"
    output_field = CharField()


def ordered(expression: object) -> Collate:
    """The key of an expression, ready to be compared."""
    return Collate(VersionKey(expression), "C")
