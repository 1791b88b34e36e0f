"""All static checks (`make check`), one line each with the output of those that fail."""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTHON = sys.executable

# The slowest first, so that the others run beside them.
CHECKS: dict[str, list[str]] = {
    "types": [f"{BIN}/mypy", "apps", "fleetd", "agent/fleetd_agent", "fleetctl", "scripts"],
    "migrations": [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run"],
    "system checks": [PYTHON, "manage.py", "check", "--fail-level", "WARNING"],
    "generated code": [PYTHON, "scripts/generate_proto.py", "--check"],
    "proto": [PYTHON, "scripts/check_proto.py"],
    "imports": [f"{BIN}/lint-imports", "--no-cache"],
    "templates": [f"{BIN}/djlint", "templates", "--lint", "--quiet"],
    "format": [f"{BIN}/ruff", "format", "--check", "."],
    "lint": [f"{BIN}/ruff", "check", "."],
    "settings page": [PYTHON, "scripts/check_reference.py"],
    "rights page": [PYTHON, "scripts/check_permissions.py"],
    "filters page": [PYTHON, "scripts/check_filters.py"],
    "manifest page": [PYTHON, "scripts/check_manifest.py"],
}


def run(item: tuple[str, list[str]]) -> bool:
    """Runs one check; True when it passed."""
    name, command = item
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=-1, stderr=subprocess.STDOUT
    )
    took = time.monotonic() - began
    verdict = "ok" if done.returncode == 0 else "FAILED"
    output = "" if done.returncode == 0 else done.stdout.rstrip() + "\n"
    print(f"{name:<16} {verdict} ({took:.1f} s)\n{output}", end="", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # No check touches the data of a platform that runs here.
        ENVIRONMENT = {**os.environ, "FLEETD_DATA_DIR": folder, "PYTHONWARNINGS": "ignore"}
        with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
            passed = list(pool.map(run, CHECKS.items()))
    print("All checks passed." if all(passed) else "Some checks failed.")
    sys.exit(not all(passed))
