"""Tiny real Debian packages, and a system below a folder that dpkg installs them into."""

import subprocess
from pathlib import Path

NAME = "fleetd-test-app"


def make_root(root: Path) -> None:
    """An empty system: dpkg's database and a folder for logs. Nothing of this machine changes."""
    database = root / "var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (database / folder).mkdir(parents=True, exist_ok=True)
    for name in ("status", "available"):
        (database / name).touch()
    for folder in ("var/log/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def build(folder: Path, version: str, *, postinst: str = "", architecture: str = "all") -> bytes:
    """A package with one file; its postinst leaves a line in /log of the system."""
    tree = folder / f"tree-{version}-{architecture}"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "opt/app").mkdir(parents=True, exist_ok=True)
    (tree / "opt/app/version").write_text(version)
    (tree / "DEBIAN/control").write_text(
        f"Package: {NAME}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: Test <test@example.com>\nDescription: a test\n"
    )
    script = tree / "DEBIAN/postinst"
    script.write_text(f'#!/bin/sh\nset -e\necho "{version} $1" >> "$DPKG_ROOT/log"\n{postinst}\n')
    script.chmod(0o755)
    file = folder / f"{version}-{architecture}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file.read_bytes()


def ask(root: Path, form: str) -> str:
    """dpkg's own word on the package."""
    command = ["dpkg-query", f"--admindir={root / 'var/lib/dpkg'}", "--show"]
    done = subprocess.run(
        [*command, f"--showformat={form}", NAME], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def installed(root: Path) -> tuple[str, str]:
    """State and version of the package."""
    state, _, version = ask(root, "${db:Status-Status} ${Version}").partition(" ")
    return state or "not-installed", version


def wanted(root: Path) -> str:
    """What is wanted of the package: install or hold."""
    return ask(root, "${db:Status-Want}")
