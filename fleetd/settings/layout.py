"""Where things lie below the data directory. Everything that holds a secret has mode 0600."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataLayout:
    """The files of one installation."""

    root: Path

    @property
    def secrets(self) -> Path:
        """Generated on first start and kept."""
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        """Where the running embedded servers are reached; rewritten on each start."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file per child process."""
        return self.root / "log"

    @property
    def artifacts(self) -> Path:
        """Artifacts, by digest."""
        return self.root / "artifacts"

    @property
    def static(self) -> Path:
        """Collected static files, made again when the code changes."""
        return self.root / "static"

    @property
    def postgres(self) -> Path:
        """Data directory of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def ca(self) -> Path:
        """Certificate and key of the built-in authority."""
        return self.root / "ca"

    @property
    def demo_signing(self) -> Path:
        """Keys that sign the releases of `fleetd demo`; other installations have none here."""
        return self.root / "demo-signing"

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of this data directory."""
        return self.root / "supervisor.lock"

    @property
    def secret_key(self) -> Path:
        """Signs sessions and tokens."""
        return self.secrets / "secret-key"

    @property
    def encryption_keys(self) -> Path:
        """Seal secrets in the database."""
        return self.secrets / "encryption-keys"

    @property
    def redis_url(self) -> Path:
        """Where the embedded Valkey is reached."""
        return self.run / "redis-url"

    def database_url(self, role: str) -> Path:
        """Where the embedded PostgreSQL is reached as `role`: app, owner or auditor."""
        return self.run / f"database-{role}-url"

    def role_password(self, role: str) -> Path:
        """Password of a database role."""
        return self.secrets / f"database-{role}-password"


def read_private(path: Path) -> str | None:
    """The text of a file, or None where there is no such file."""
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads: complete or not at all, also after a power cut."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
