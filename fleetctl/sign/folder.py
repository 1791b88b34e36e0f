"""The folder of a key holder: encrypted keys, and the metadata that was signed or believed last."""

import getpass
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, Root, Targets

from fleetctl.errors import CommandError, UsageError
from fleetctl.sign.keys import OfflineKey, load_key, make_key, save_key
from fleetctl.sign.metadata import text_of

DEFAULT = "fleetd-signing"
VARIABLE = "FLEETD_SIGNING_PASSPHRASE"


class Folder:
    """`root-1.pem`, `targets-1.pem` and so on, `root.json` and `targets.json`."""

    def __init__(self, path: Path, passphrase_file: Path | None, more: Sequence[Path] = ()) -> None:
        self.path = path
        self._passphrase_file = passphrase_file
        self._more = more
        self._passphrase = ""

    def create(self) -> None:
        """Makes the folder, closed to others."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from error

    def keys(self, role: str) -> list[OfflineKey]:
        """All keys of a role that lie here, and those given besides."""
        files = sorted(self.path.glob(f"{role}-*.pem"))
        return [load_key(path, self.passphrase()) for path in [*files, *self._more]]

    def keys_for(self, role: str, publics: Iterable[str], threshold: int) -> list[OfflineKey]:
        """Those of them that may sign, enough of them."""
        wanted = set(publics)
        found = {k.public.keyval["public"]: k for k in self.keys(role)}
        usable = [key for public, key in found.items() if public in wanted]
        if len(usable) < threshold:
            raise UsageError(
                f"{role} takes {threshold} of {len(wanted)} keys, {len(usable)} are here: "
                "give the files of others with --key-file"
            )
        return usable

    def new_keys(self, role: str, count: int) -> list[OfflineKey]:
        """Makes and keeps keys."""
        taken = [int(p.stem.rpartition("-")[2]) for p in self.path.glob(f"{role}-[0-9]*.pem")]
        first = max(taken, default=0) + 1
        made = []
        for number in range(first, first + count):
            key = make_key()
            save_key(key, self.path / f"{role}-{number}.pem", self.passphrase(is_new=True))
            made.append(key)
        return made

    def load(self, role: str) -> Metadata[Any] | None:
        """The metadata that lies here; None before there is any."""
        path = self.path / f"{role}.json"
        if not path.exists():
            return None
        found: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
        return found

    def root(self) -> Metadata[Root]:
        """The root that this key holder trusts."""
        found = self.load("root")
        if found is None:
            message = f"{self.path} has no root.json: run `fleetctl sign init`, or give --keys"
            raise UsageError(message)
        return found

    def keep(self, role: str, metadata: Metadata[Root] | Metadata[Targets]) -> None:
        """Replaces the metadata that lies here, durably."""
        path = self.path / f"{role}.json"
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w") as stream:
            stream.write(text_of(metadata))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)

    def passphrase(self, *, is_new: bool = False) -> str:
        """From a file, the environment, or the person at the keyboard; asked for once."""
        if not self._passphrase:
            self._passphrase = self._read_passphrase(is_new=is_new)
        return self._passphrase

    def _read_passphrase(self, *, is_new: bool) -> str:
        if self._passphrase_file is not None:
            try:
                return self._passphrase_file.read_text().rstrip("\r\n")
            except OSError as error:
                raise UsageError(f"{self._passphrase_file}: {error.strerror}") from error
        if found := os.environ.get(VARIABLE):
            return found
        if not sys.stdin.isatty():
            raise UsageError(f"no passphrase: give --passphrase-file or set {VARIABLE}")
        given = getpass.getpass("Passphrase of the signing keys: ")
        if is_new and getpass.getpass("The same again: ") != given:
            raise UsageError("the two differ")
        return given
