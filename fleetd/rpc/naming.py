"""Names of RPC methods in Python."""

import re

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def snake(name: str) -> str:
    """`ListDeviceGroups` as the servicer's method `list_device_groups`."""
    return _WORD.sub("_", name).lower()
