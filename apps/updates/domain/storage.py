"""Where artifacts lie, and which names they may have. The server makes every path."""

import re
import unicodedata
from pathlib import PurePosixPath
from uuid import UUID

MAX_NAME_LENGTH = 200
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CONTENT_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*", re.ASCII)
INCOMING = "incoming"


def is_sha256(text: str) -> bool:
    """Whether this is a SHA-256 digest, 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def artifact_path(organization_id: UUID, sha256: str) -> PurePosixPath:
    """The path of an artifact below the storage's root: `<organization>/ab/cd/abcd…`.

    Organizations never share a file, so that nobody learns what another one has by uploading it.
    """
    if not is_sha256(sha256):
        raise ValueError("not a SHA-256 digest")
    return PurePosixPath(organization_id.hex, sha256[:2], sha256[2:4], sha256)


def is_plain_name(name: str) -> bool:
    """Whether a file name is one printable name, not a path and not longer than 200 characters."""
    if not 0 < len(name) <= MAX_NAME_LENGTH or name != name.strip() or name in (".", ".."):
        return False
    return not any(c in "/\\" or unicodedata.category(c)[0] == "C" for c in name)


def is_content_type(text: str) -> bool:
    """Whether this is a media type without parameters, at most 100 characters, or empty."""
    return text == "" or (len(text) <= 100 and _CONTENT_TYPE.fullmatch(text.lower()) is not None)
