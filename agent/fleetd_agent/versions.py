"""Which of two versions is the older one."""

import re

# As the platform orders releases: semantic versions (semver.org 2.0.0, clause 11), with any number
# of numeric parts and an optional leading v.
_PATTERN = re.compile(r"v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]*)?")

_Key = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def is_older(version: str, than: str) -> bool:
    """Whether `version` comes before `than`; False where the two cannot be ordered."""
    first, second = _key(version), _key(than)
    return first is not None and second is not None and first < second


def _key(version: str) -> _Key | None:
    found = _PATTERN.fullmatch(version.strip())
    if not found:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:  # 1.2 and 1.2.0 are the same
        numbers.pop()
    parts = (found[2] or "").split(".") if found[2] else []
    return tuple(numbers), 0 if parts else 1, tuple(_identifier(part) for part in parts)


def _identifier(part: str) -> tuple[int, int, str]:
    """Numeric identifiers come before others, and are compared as numbers."""
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
