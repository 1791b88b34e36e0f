"""Whether the schema and the static files are those of this code already."""

import hashlib
from pathlib import Path

from fleetd.settings.layout import DataLayout, read_private, write_private
from fleetd.supervisor.commands import ROOT

# The database's guards follow from the models and the core, so all of apps/ counts.
_SOURCES = ("apps", "static")


def code_fingerprint() -> str:
    """Changes whenever migrations, models, libraries or static files do."""
    digest = hashlib.sha256((ROOT / "requirements" / "base.txt").read_bytes())
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(str(path.relative_to(ROOT)).encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _note(layout: DataLayout) -> Path:
    return layout.root / "prepared"


def is_prepared(layout: DataLayout, fingerprint: str) -> bool:
    """Whether the same code prepared this data directory and came to its end."""
    return layout.static.is_dir() and read_private(_note(layout)) == fingerprint


def remember_prepared(layout: DataLayout, fingerprint: str) -> None:
    """Notes that everything is up to date."""
    write_private(_note(layout), fingerprint)


def forget_prepared(layout: DataLayout) -> None:
    """Before a change begins, so that one that is cut off is done again."""
    _note(layout).unlink(missing_ok=True)
