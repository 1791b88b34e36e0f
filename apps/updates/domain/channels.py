"""Channels: names such as stable that point at one release of a name at a time."""

import re

MAX_CHANNEL_LENGTH = 32
_CHANNEL = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)


def is_channel(text: str) -> bool:
    """Lower-case letters, digits and single dashes, at most 32, the first a letter."""
    return len(text) <= MAX_CHANNEL_LENGTH and _CHANNEL.fullmatch(text) is not None


def split_name(text: str) -> tuple[str, str]:
    """`app@stable` or `app@2.3.0` as the release's name and what follows it.

    Neither names nor versions nor channels have an @, so there is one way to read it.
    """
    name, _at, word = text.strip().rpartition("@")
    return name, word
