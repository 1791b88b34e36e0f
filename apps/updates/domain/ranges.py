"""Byte ranges of HTTP (RFC 9110, section 14), one range at a time."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})", re.ASCII | re.IGNORECASE)


class NotSatisfiable(ValueError):
    """The file has no such bytes."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included, of a file of `size` bytes."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """The value of Content-Range."""
        return f"bytes {self.first}-{self.last}/{self.size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """The range that `header` asks of a file of `size` bytes; None means the whole file.

    Other units and several ranges are answered with the whole file, as the RFC allows. Raises
    `NotSatisfiable` for a range that lies beyond the file, is empty, or runs backwards.
    """
    if "," in header or not header.strip().lower().startswith("bytes"):
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    start, end = match.groups()
    if not start and not end:
        return None
    if not start:
        return _suffix(int(end), size)
    first = int(start)
    last = min(int(end), size - 1) if end else size - 1
    if first >= size or last < first:
        raise NotSatisfiable(f"bytes {start}-{end} of {size}")
    return ByteRange(first, last, size)


def _suffix(length: int, size: int) -> ByteRange:
    """The last `length` bytes."""
    if not length or not size:
        raise NotSatisfiable(f"the last {length} bytes of {size}")
    return ByteRange(max(0, size - length), size - 1, size)


def is_same(if_range: str, etag: str) -> bool:
    """Whether a range may be sent: If-Range is absent or is exactly this strong entity tag.

    A date proves nothing here, because artifacts have none that a client could know.
    """
    return not if_range.strip() or if_range.strip() == etag
