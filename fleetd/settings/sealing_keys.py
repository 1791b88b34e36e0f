"""The keys that seal secrets at rest: how they are written down, read, checked and made.

`FLEETD_ENCRYPTION_KEYS` holds `id:base64` pairs, separated by commas or lines; the first one seals,
all of them open.
"""

import base64
import binascii
import math
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fleetd.settings.layout import write_private

KEY_BYTES = 32
MIN_DIFFERENT_BYTES = 12
LOOK_AGAIN_SECONDS = 1.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


class KeysUnreadable(Exception):
    """The text is no list of keys. The message never repeats a key."""


class KeysNotInAFile(Exception):
    """The keys come from the environment itself: only whoever sets it can change them."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One key and the name that sealed texts carry."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SealingKey({self.id})"


def read_keys(text: str) -> tuple[SealingKey, ...]:
    """The keys in `text`, the one that seals first. Raises `KeysUnreadable`."""
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    keys = tuple(_read_key(part, number) for number, part in enumerate(parts, 1))
    if len({key.id for key in keys}) != len(keys):
        raise KeysUnreadable("names two keys with the same id")
    return keys


def write_keys(keys: tuple[SealingKey, ...]) -> str:
    """The text that `read_keys` reads."""
    return "\n".join(f"{key.id}:{base64.b64encode(key.secret).decode()}" for key in keys)


def new_key() -> SealingKey:
    """A fresh random key with an id of its own."""
    return SealingKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES))


def keys_weakness(text: str | None) -> str | None:
    """Why the keys must not be used, or None when they may."""
    if not text or not text.strip(" ,\n"):
        return "is missing"
    try:
        keys = read_keys(text)
    except KeysUnreadable as error:
        return str(error)
    weak = next((key.id for key in keys if len(set(key.secret)) < MIN_DIFFERENT_BYTES), None)
    return None if weak is None else f"has a key that is not random ({weak})"


def _read_key(text: str, number: int) -> SealingKey:
    name, separator, encoded = text.partition(":")
    if not separator or not _ID.fullmatch(name):
        raise KeysUnreadable(f"is no list of id:base64 pairs (number {number})")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise KeysUnreadable(f"has a key that is not base64 ({name})") from None
    if len(secret) != KEY_BYTES:
        raise KeysUnreadable(f"has a key that is not {KEY_BYTES} bytes long ({name})")
    return SealingKey(name, secret)


class KeyRing:
    """The installation's keys, from a text, else from a file whose changes are noticed.

    The file is looked at again once a second at most, and at once when an unknown key is asked for:
    so keys change without a restart and without a failed request.
    """

    def __init__(self, text: str | None = None, path: Path | None = None) -> None:
        self._path = None if text else path
        self._lock = threading.Lock()
        self._keys = read_keys(text) if text else ()
        self._seen: object = None
        self._looked_at = float("-inf")

    def keys(self, *, at_once: bool = False) -> tuple[SealingKey, ...]:
        """The keys as they are now, the one that seals first; none where there are none."""
        if self._path is None:
            return self._keys
        with self._lock:
            now = time.monotonic()
            if at_once or now - self._looked_at >= LOOK_AGAIN_SECONDS:
                self._looked_at = now
                self._look(self._path)
            return self._keys

    def find(self, key_id: str) -> SealingKey | None:
        """The key with an id, None where there is none."""
        for at_once in (False, True):
            for key in self.keys(at_once=at_once):
                if key.id == key_id:
                    return key
        return None

    def store(self, keys: tuple[SealingKey, ...]) -> None:
        """Replaces the keys in their file. Raises `KeysNotInAFile`."""
        if self._path is None:
            raise KeysNotInAFile("FLEETD_ENCRYPTION_KEYS is no file: change it where it is set")
        write_private(self._path, write_keys(keys))
        self.keys(at_once=True)

    def settled_seconds(self) -> float:
        """How long the keys have been as they are, for all processes that read the file."""
        return time.time() - self._path.stat().st_mtime if self._path else math.inf

    def _look(self, path: Path) -> None:
        """Reads the file if it has changed. What was known stays good while it is unreadable."""
        try:
            info = path.stat()
            seen = (info.st_mtime_ns, info.st_size, info.st_ino)
            if seen != self._seen:
                self._keys = read_keys(path.read_text()) or self._keys
                self._seen = seen
        except (OSError, KeysUnreadable):
            return
