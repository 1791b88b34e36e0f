"""The rules of tags: short, lower case, without white space, for example `site=berlin`."""

import re
from collections.abc import Iterable

MAX_TAGS = 50
_FORM = re.compile(r"[a-z0-9][a-z0-9._:=/-]{0,63}", re.ASCII)


def normalized(tag: str) -> str | None:
    """A tag as it is stored, None where it cannot be one."""
    text = tag.strip().lower()
    return text if _FORM.fullmatch(text) else None


def changed(present: Iterable[str], *, add: Iterable[str], remove: Iterable[str]) -> list[str]:
    """A device's tags after a change, sorted. What is both added and removed is removed."""
    return sorted((set(present) | set(add)) - set(remove))
