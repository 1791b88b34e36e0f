"""The hash chain over audit entries (security.md, decision 30).

hash(n) = SHA-256(0x00 || hash(n-1) || canonical JSON of entry n), with 32 zero bytes before the
first entry. 0x00 is the leaf prefix of RFC 6962, so that entries cannot be taken for tree nodes.
Canonical JSON: UTF-8, keys sorted, no white space.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

GENESIS = bytes(32)


def canonical(fields: Mapping[str, Any]) -> bytes:
    """`fields` (strings, numbers, booleans, None, lists, mappings) as canonical JSON."""
    return json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def entry_hash(previous: bytes, fields: Mapping[str, Any]) -> bytes:
    """The 32-byte hash of an entry with these fields after the one that hashes to `previous`."""
    return hashlib.sha256(b"\x00" + previous + canonical(fields)).digest()


def first_break(entries: Iterable[tuple[bytes, bytes, Mapping[str, Any]]]) -> int | None:
    """The index of the first entry that does not fit the chain, None where all do.

    Entries come from the first on, as (previous hash, hash, fields); `fields` holds a `sequence`
    that starts at 1 and grows by one.
    """
    expected = GENESIS
    for index, (previous, digest, fields) in enumerate(entries):
        fits = previous == expected and fields["sequence"] == index + 1
        if not fits or entry_hash(previous, fields) != digest:
            return index
        expected = digest
    return None
