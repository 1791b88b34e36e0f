"""The rules of tags: short, lower case, without white space, for example `site=berlin`."""

import re
from collections.abc import Iterable

from apps.core.errors import invalid

MAX_TAGS = 50
_FORM = re.compile(r"[a-z0-9][a-z0-9._:=/-]{0,63}", re.ASCII)


def normalized(tag: str) -> str | None:
    """A tag as it is stored, None where it cannot be one."""
    text = tag.strip().lower()
    return text if _FORM.fullmatch(text) else None


def checked(tags: Iterable[str], *, field: str) -> list[str]:
    """Tags as they are stored, sorted. Raises `InvalidRequest` for one that cannot be a tag."""
    good = set()
    for tag in tags:
        normal = normalized(tag)
        if normal is None:
            message = "A tag has 1 to 64 characters: a to z, digits and . _ : = / -"
            raise invalid(field, "invalid_tag", message)
        good.add(normal)
    return sorted(good)


def changed(present: Iterable[str], *, add: Iterable[str], remove: Iterable[str]) -> list[str]:
    """A device's tags after a change, sorted. What is both added and removed is removed."""
    return sorted((set(present) | set(add)) - set(remove))
