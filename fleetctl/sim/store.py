"""What simulated devices remember, in one SQLite file: keys, journals, and what was installed."""

import fcntl
import json
import os
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import Self

from fleetd_agent.identity import Identity, Request, make_request
from fleetd_agent.journal import State

SCHEMA = """
CREATE TABLE IF NOT EXISTS device (
  number INTEGER PRIMARY KEY,
  request TEXT,
  identity TEXT,
  journal TEXT
);
CREATE TABLE IF NOT EXISTS fleet (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS applied (
  number INTEGER NOT NULL,
  deployment_id TEXT NOT NULL,
  component TEXT NOT NULL,
  version TEXT NOT NULL,
  time REAL NOT NULL
);
"""


class StoreInUse(Exception):
    """Another simulator works with this file, or it belongs to another fleet."""


class Store:
    """The file of one simulated fleet."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._lock = os.open(folder / "sim.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StoreInUse(f"another simulator works in {folder}") from error
        path = folder / "sim.sqlite3"
        self._database = sqlite3.connect(path, isolation_level=None)
        path.chmod(0o600)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._database.close()
        os.close(self._lock)

    def bind(self, server: str, seed: int) -> None:
        """Refuses to mix fleets: identities belong to one server and one seed."""
        for key, value in (("server", server), ("seed", str(seed))):
            row = self._database.execute("SELECT value FROM fleet WHERE key = ?", (key,))
            known = row.fetchone()
            if known is None:
                self._database.execute("INSERT INTO fleet VALUES (?, ?)", (key, value))
            elif known[0] != value:
                raise StoreInUse(
                    f"this state belongs to a fleet with {key} {known[0]}: use another --state-dir"
                )

    def read(self, number: int, column: str) -> str | None:
        """One remembered document of a device."""
        query = f"SELECT {column} FROM device WHERE number = ?"  # noqa: S608 - names are ours
        row = self._database.execute(query, (number,)).fetchone()
        return row[0] if row else None

    def write(self, number: int, column: str, text: str) -> None:
        """Remembers one document of a device."""
        query = (
            f"INSERT INTO device (number, {column}) VALUES (?, ?) "  # noqa: S608
            f"ON CONFLICT (number) DO UPDATE SET {column} = excluded.{column}"
        )
        self._database.execute(query, (number, text))

    def note_applied(self, number: int, deployment_id: str, component: str, version: str) -> None:
        """Remembers that a device was changed, each time: twice would be seen."""
        row = (number, deployment_id, component, version, time.time())
        self._database.execute("INSERT INTO applied VALUES (?, ?, ?, ?, ?)", row)


class DeviceStore:
    """One device's part of the file: its identity and its journal."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self._number = number

    def load_identity(self) -> Identity | None:
        """The identity, None before enrollment."""
        text = self._store.read(self._number, "identity")
        return Identity.from_json(text) if text else None

    def save_identity(self, identity: Identity) -> None:
        """Keeps the identity."""
        self._store.write(self._number, "identity", identity.to_json())

    def request(self) -> Request:
        """The key and signing request of this device, made once."""
        text = self._store.read(self._number, "request")
        if text:
            return Request(**json.loads(text))
        request = make_request()
        self._store.write(self._number, "request", json.dumps(asdict(request)))
        return request

    def load_state(self) -> State:
        """The journal as it was saved last."""
        text = self._store.read(self._number, "journal")
        return State.from_json(json.loads(text)) if text else State()

    def save_state(self, state: State) -> None:
        """Saves the journal."""
        self._store.write(self._number, "journal", json.dumps(state.to_json()))

    def note_applied(self, deployment_id: str, component: str, version: str) -> None:
        """Remembers that this device was changed."""
        self._store.note_applied(self._number, deployment_id, component, version)


class SimIdentities:
    """The identity side of a device's store, as the connection wants it."""

    def __init__(self, device: DeviceStore) -> None:
        self._device = device

    def load(self) -> Identity | None:
        """The identity now."""
        return self._device.load_identity()

    def save(self, identity: Identity) -> None:
        """Keeps a renewed one."""
        self._device.save_identity(identity)


class SimJournal:
    """The journal side of a device's store, as the engine wants it."""

    def __init__(self, device: DeviceStore) -> None:
        self._device = device

    def load(self) -> State:
        """The state as it was saved last."""
        return self._device.load_state()

    def save(self, state: State) -> None:
        """Saves the state."""
        self._device.save_state(state)
