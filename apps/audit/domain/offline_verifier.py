#!/usr/bin/env python3
"""Checks an exported fleetd audit trail, offline, with nothing of fleetd installed.

    python3 fleetd-audit-verify.py EXPORT.ndjson [--checkpoints KEPT.ndjson] [--key-id ID ...]

EXPORT is what `fleetd audit export` wrote. KEPT is the organization's file of the second place,
where the platform appends each signed checkpoint (FLEETD_AUDIT_EXPORT_DIR): whoever rewrites the
database cannot rewrite it too. `--key-id` names the signing keys that you trust; without it any
key in the export is taken for the platform's, and the answer says which.

Exit code 0: nothing was edited, reordered, inserted, deleted or cut off, as far as the signed
checkpoints reach. 1: something was, and each finding is named. 2: the files cannot be read.

Needs Python 3.9 or newer and the package `cryptography`; this file is all there is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

GENESIS = "00" * 32
PRUNE_ACTION = "audit.prune_entries"
SIGNED_PREFIX = b"fleetd audit checkpoint v1\x00"
STATEMENT = ("head_hash", "key_id", "organization_id", "root", "sequence", "since", "time")
MAX_FINDINGS = 100


def canonical(fields: Any) -> bytes:
    """Canonical JSON: UTF-8, keys sorted, no white space."""
    text = json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def entry_hash(previous: str, fields: dict[str, Any]) -> str:
    """SHA-256(0x00 || hash of the entry before || canonical JSON), in hexadecimal."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(previous) + canonical(fields)).hexdigest()


def key_id_of(public_key: bytes) -> str:
    """The id of a signing key: the beginning of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def statement_bytes(checkpoint: dict[str, Any]) -> bytes:
    """What the signature of a checkpoint covers."""
    return SIGNED_PREFIX + canonical({name: checkpoint[name] for name in STATEMENT})


class MerkleTree:
    """The root of RFC 6962 over leaf hashes that arrive one by one; holds log2(n) of them."""

    def __init__(self) -> None:
        self.peaks: list[tuple[int, bytes]] = []  # size and hash of perfect trees, largest first

    def add(self, leaf: bytes) -> None:
        """Adds a leaf by its hash."""
        size, digest = 1, leaf
        while self.peaks and self.peaks[-1][0] == size:
            left = self.peaks.pop()[1]
            size, digest = size * 2, hashlib.sha256(b"\x01" + left + digest).digest()
        self.peaks.append((size, digest))

    def root(self) -> bytes:
        """The root, that of the empty tree where there is no leaf."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        digest = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            digest = hashlib.sha256(b"\x01" + left + digest).digest()
        return digest


class Verifier:
    """Takes the records of an export in their order; `findings` says what is wrong.

    A finding is (sequence, text). `start` is (sequence, hash) of an entry that is trusted already:
    then the records begin after it.
    """

    def __init__(
        self,
        organization_id: str,
        kept: Iterable[Any] = (),
        trusted_keys: set[str] | None = None,
        start: tuple[int, str] | None = None,
    ) -> None:
        self.organization_id = organization_id
        self.trusted_keys = trusted_keys
        self.start = start
        self.findings: list[tuple[int, str]] = []
        self.keys_used: set[str] = set()
        self.entries = self.checkpoints = 0
        self.first: tuple[int, str] | None = None
        self.last, self.last_hash = start or (0, GENESIS)
        self.segment, self.segment_is_sound = self.last, True
        self.tree = MerkleTree()
        # By the sequence of a checkpoint: since, root, head, whether nothing was found before it.
        self.closed: dict[int, tuple[int, str, str, bool]] = {}
        self.exported: dict[int, dict[str, Any]] = {}
        self.pruned_through: set[Any] = set()
        self.kept: dict[int, dict[str, Any]] = {}
        for checkpoint in kept:
            self._keep(checkpoint)

    def add(self, record: Any) -> None:
        """Takes the next record of the export."""
        kind = record.get("kind") if isinstance(record, dict) else None
        try:
            if kind == "entry":
                self._entry({k: v for k, v in record.items() if k != "kind"})
            elif kind == "checkpoint":
                self._checkpoint(record)
            else:
                self.find(
                    self.last,
                    "after this entry stands a record that is neither an entry nor a checkpoint",
                )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            self.find(
                self.last + 1,
                f"a record after entry {self.last} cannot be read ({type(error).__name__})",
            )
            self.segment_is_sound = False

    def finish(self) -> list[tuple[int, str]]:
        """Compares with everything that was signed. Returns the findings."""
        self._beginning()
        latest = max([*self.exported, *self.kept, 0])
        if latest > self.last:
            self.find(
                self.last + 1,
                f"entries {self.last + 1} to {latest} are missing: the trail "
                f"was cut off, a signed checkpoint says that it reached {latest}",
            )
        for sequence, checkpoint in sorted(self.kept.items()):
            twin = self.exported.get(sequence)
            if twin is None and self._covers(sequence):
                self.find(
                    sequence,
                    "the checkpoint at this entry is in the second place, but no "
                    "longer in the database",
                )
            elif twin and any(twin.get(n) != checkpoint.get(n) for n in STATEMENT):
                self.find(
                    sequence,
                    "the checkpoint at this entry is not the one that the second place has",
                )
        self.findings.sort(key=lambda finding: finding[0])
        return self.findings

    # --- entries ---

    def _entry(self, entry: dict[str, Any]) -> None:
        stated, previous = entry.pop("hash"), entry.pop("previous_hash")
        sequence = entry["sequence"]
        if isinstance(sequence, bool) or not isinstance(sequence, int):
            raise TypeError("sequence")
        self.entries += 1
        if self.first is None:
            self.first = (sequence, previous)
            if self.start is None and sequence != 1:
                self.last, self.last_hash = sequence - 1, previous
                self.segment = self.last
        self._order(sequence)
        self._content(sequence, entry, stated, previous)
        if sequence > self.last:
            self.last, self.last_hash = sequence, stated
        self.tree.add(bytes.fromhex(stated))
        if entry["action"] == PRUNE_ACTION:
            self.pruned_through.add(entry["changes"].get("through"))
        if sequence in self.kept:
            self._close(sequence)
            self._compare(self.kept[sequence])

    def _order(self, sequence: int) -> None:
        """Numbers grow by one: what is missing, doubled or moved is named by its number."""
        if sequence == self.last + 1:
            return
        if sequence > self.last + 1:
            missing = (
                f"entry {self.last + 1} is"
                if sequence == self.last + 2
                else f"entries {self.last + 1} to {sequence - 1} are"
            )
            self._break(self.last + 1, f"{missing} missing")
        else:
            self._break(
                sequence,
                f"entry {sequence} stands after entry {self.last}: it was inserted or moved",
            )

    def _content(self, sequence: int, fields: dict[str, Any], stated: str, previous: str) -> None:
        follows = previous == self.last_hash
        if fields.get("organization_id") != self.organization_id:
            self._break(sequence, f"entry {sequence} belongs to another organization")
        if entry_hash(previous, fields) != stated:
            self._break(
                sequence, f"entry {sequence} was changed: it does not hash to what was recorded"
            )
        elif not follows and sequence == self.last + 1:
            culprit = max(self.last, 1)
            self._break(
                culprit, f"entry {culprit} was rewritten: entry {sequence} follows another one"
            )

    # --- checkpoints ---

    def _keep(self, checkpoint: Any) -> None:
        try:
            is_ours = checkpoint["organization_id"] == self.organization_id
            if is_ours and self._is_signed(checkpoint, "in the second place"):
                self.kept[checkpoint["sequence"]] = checkpoint
        except (KeyError, TypeError, ValueError, AttributeError):
            self.find(0, "the second place holds something that is no checkpoint")

    def _checkpoint(self, checkpoint: dict[str, Any]) -> None:
        sequence = checkpoint["sequence"]
        if isinstance(sequence, bool) or not isinstance(sequence, int):
            raise TypeError("sequence")
        self.checkpoints += 1
        if sequence in self.exported:
            self.find(sequence, "there are two checkpoints at this entry")
        if checkpoint["organization_id"] != self.organization_id:
            self.find(sequence, "the checkpoint at this entry is another organization's")
        if not self._is_signed(checkpoint, "in the export"):
            return
        self.exported[sequence] = checkpoint
        if self.first is None and self.start is None:
            return  # what a pruned trail begins with
        if sequence not in self.closed and sequence == self.last:
            self._close(sequence)
        self._compare(checkpoint)

    def _is_signed(self, checkpoint: dict[str, Any], where: str) -> bool:
        sequence, key_id = checkpoint["sequence"], checkpoint["key_id"]
        public_key = bytes.fromhex(checkpoint["public_key"])
        text = f"the checkpoint at this entry {where} "
        if key_id_of(public_key) != key_id:
            self.find(sequence, text + "names a key that it does not come with")
            return False
        if self.trusted_keys is not None and key_id not in self.trusted_keys:
            self.find(sequence, text + f"is signed by the unknown key {key_id}")
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(
                bytes.fromhex(checkpoint["signature"]), statement_bytes(checkpoint)
            )
        except (InvalidSignature, ValueError):
            self.find(sequence, text + "has a wrong signature")
            return False
        self.keys_used.add(key_id)
        return True

    def _close(self, sequence: int) -> None:
        """Ends the segment that a checkpoint covers."""
        root = self.tree.root().hex()
        self.closed[sequence] = (self.segment, root, self.last_hash, self.segment_is_sound)
        self.segment, self.segment_is_sound, self.tree = sequence, True, MerkleTree()

    def _compare(self, checkpoint: dict[str, Any]) -> None:
        sequence = checkpoint["sequence"]
        if sequence not in self.closed:
            return  # after the last entry: `finish` says that entries are missing
        since, root, head, is_sound = self.closed[sequence]
        if checkpoint["since"] != since:
            self.find(
                sequence,
                f"the checkpoint at this entry continues one at "
                f"{checkpoint['since']}, but the one before it is at {since}",
            )
        elif is_sound and (checkpoint["head_hash"], checkpoint["root"]) != (head, root):
            self.find(
                since + 1,
                f"entries {since + 1} to {sequence} are not those that were "
                "signed: at least one of them was rewritten",
            )

    # --- the beginning ---

    def _beginning(self) -> None:
        """A trail begins at 1, or after a checkpoint up to which an entry says it was pruned."""
        if self.start is not None or self.first is None:
            return
        sequence, previous = self.first
        if sequence == 1:
            if previous != GENESIS:
                self.find(1, "entry 1 follows an entry that is not there")
            return
        anchor = self.exported.get(sequence - 1) or self.kept.get(sequence - 1)
        missing = f"entries 1 to {sequence - 1} are missing, and "
        if anchor is None:
            self.find(1, missing + "no signed checkpoint stands in their place")
        elif anchor["head_hash"] != previous:
            self.find(1, missing + "what is left does not follow the checkpoint in their place")
        elif sequence - 1 not in self.pruned_through:
            self.find(1, missing + "no entry says that they were pruned")

    def _covers(self, sequence: int) -> bool:
        begin = self.first[0] if self.first else self.last + 1
        return begin <= sequence <= self.last

    def _break(self, sequence: int, text: str) -> None:
        self.segment_is_sound = False
        self.find(sequence, text)

    def find(self, sequence: int, text: str) -> None:
        """Notes what is wrong at an entry."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append((sequence, text))


def read_lines(path: str) -> Iterator[Any]:
    """Each line as JSON; None for one that is none (a line cut off by a crash, or worse)."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError):
                    yield None


def verify_export(
    path: str, checkpoints: str | None = None, key_ids: Sequence[str] = ()
) -> Verifier:
    """Verifies an export. Returns the verifier, its findings complete."""
    lines = read_lines(path)
    header = next(lines, None)
    if not isinstance(header, dict) or header.get("kind") != "header":
        raise ValueError("this is no export of an audit trail: it has no header")
    kept = [line for line in read_lines(checkpoints) if line] if checkpoints else []
    verifier = Verifier(str(header.get("organization_id")), kept, set(key_ids) or None)
    end = None
    for record in lines:
        if end is not None:
            verifier.find(verifier.last, "the export goes on after its end")
        if isinstance(record, dict) and record.get("kind") == "end":
            end = record
        else:
            verifier.add(record)
    if end is None:
        verifier.find(verifier.last + 1, "the export has no end: it was cut off here")
    elif end.get("entries") != verifier.entries or end.get("checkpoints") != verifier.checkpoints:
        verifier.find(
            verifier.last,
            f"the export was made with {end.get('entries')} entries and "
            f"{end.get('checkpoints')} checkpoints",
        )
    head = header.get("head_sequence")
    if isinstance(head, int) and head > verifier.last:
        verifier.find(
            verifier.last + 1,
            f"entries {verifier.last + 1} to {head} are missing: the head of the chain was there",
        )
    verifier.finish()
    return verifier


def main(arguments: Sequence[str] | None = None) -> int:
    """Verifies the files named on the command line."""
    parser = argparse.ArgumentParser(description="Verifies an exported fleetd audit trail.")
    parser.add_argument("export", help="what `fleetd audit export` wrote")
    parser.add_argument("--checkpoints", help="the organization's file of the second place")
    parser.add_argument("--key-id", action="append", default=[], help="a signing key you trust")
    given = parser.parse_args(arguments)
    try:
        verifier = verify_export(given.export, given.checkpoints, given.key_id)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot verify: {error}\n")
        return 2
    for sequence, text in verifier.findings:
        sys.stdout.write(f"BROKEN at {sequence}: {text}\n")
    signed = max([*verifier.exported, *verifier.kept, 0])
    first = verifier.first[0] if verifier.first else 0
    sys.stdout.write(
        f"{'broken' if verifier.findings else 'ok'}: {verifier.entries} entries, "
        f"{first} to {verifier.last}; {len(verifier.exported)} checkpoints, signed up to {signed}"
        f"; {'second place compared' if given.checkpoints else 'second place not compared'}\n"
    )
    for key_id in sorted(verifier.keys_used):
        trust = "named by you" if given.key_id else "taken from the export: compare it yourself"
        sys.stdout.write(f"signed by {key_id} ({trust})\n")
    return 1 if verifier.findings else 0


if __name__ == "__main__":
    sys.exit(main())
