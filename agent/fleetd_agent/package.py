"""Builds the agent's own wheel and installer, so that the platform can serve both by itself.

The wheel is written with nothing but zipfile and is the same, byte for byte, for the same sources:
the installer names its SHA-256. Its dependencies come from the index that pip is set up with.
"""

import base64
import hashlib
import os
import shlex
import zipfile
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from fleetd_agent import __version__

DEPENDENCIES = (
    "grpcio>=1.60",
    "protobuf>=7.35.1",
    "cryptography>=42",
    "psutil>=5.9",
    "tuf>=7.0.1",
    "securesystemslib[crypto]>=1.6",
)
NAME = f"fleetd_agent-{__version__}-py3-none-any.whl"
INFO = f"fleetd_agent-{__version__}.dist-info"
EPOCH = (1980, 1, 1, 0, 0, 0)
SKIPPED = ("__pycache__", ".pyc", ".pyi")

METADATA = f"""Metadata-Version: 2.1
Name: fleetd-agent
Version: {__version__}
Summary: The fleetd device agent
License: Apache-2.0
Requires-Python: >=3.11
{"".join(f"Requires-Dist: {item}" + chr(10) for item in DEPENDENCIES)}"""
WHEEL = """Wheel-Version: 1.0
Generator: fleetd
Root-Is-Purelib: true
Tag: py3-none-any
"""
ENTRY_POINTS = """[console_scripts]
fleetd-agent = fleetd_agent.cli:main
"""


def build(target: Path) -> str:
    """Writes the wheel to the file `target`, atomically; returns its SHA-256."""
    entries = _sources() | {
        f"{INFO}/METADATA": METADATA.encode(),
        f"{INFO}/WHEEL": WHEEL.encode(),
        f"{INFO}/entry_points.txt": ENTRY_POINTS.encode(),
    }
    entries[f"{INFO}/RECORD"] = _record(entries)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    os.replace(temporary, target)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def install_script(server_url: str, sha256: str, *, is_dry_run: bool = False) -> str:
    """The installer for devices of the platform at `server_url`, which serves the wheel at
    `/install/<NAME>` with this digest."""
    parts = urlsplit(server_url)
    if parts.scheme not in ("http", "https") or not parts.netloc or not server_url.isprintable():
        raise ValueError("not a web address")
    text = (files("fleetd_agent") / "data" / "install.sh").read_text()
    values = {
        "@SERVER_URL@": shlex.quote(server_url.rstrip("/")),
        "@AGENT_FILE@": shlex.quote(NAME),
        "@AGENT_SHA256@": shlex.quote(sha256),
        "@DRY_RUN@": "1" if is_dry_run else "",
    }
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _sources() -> dict[str, bytes]:
    folder = Path(__file__).parent
    return {
        str(path.relative_to(folder.parent)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part in str(path) for part in SKIPPED)
    }


def _record(entries: dict[str, bytes]) -> bytes:
    lines = []
    for name, content in entries.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    return ("\n".join([*lines, f"{INFO}/RECORD,,"]) + "\n").encode()
