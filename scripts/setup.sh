#!/bin/sh
# Creates .venv and installs pinned requirements: `scripts/setup.sh base` or `dev`.
# Does nothing when nothing changed. Needs Python 3.11 or newer with venv; no root, no compiler.
set -eu
cd "$(dirname "$0")/.."
want=${1:-base}
root=$(pwd)

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say "fleetd needs Python 3.11 or newer. On Debian or Ubuntu: sudo apt install python3 python3-venv"
    exit 1
}

digest() { cksum "$@" | cksum | cut -d' ' -f1; }

base_stamp="$root $(digest requirements/base.txt requirements/setup.txt scripts/setup.sh scripts/install_commands.py)"
dev_stamp="$base_stamp $(digest requirements/dev.txt)"
have() { [ -x .venv/bin/python ] && [ "$(cat ".venv/.installed-$1" 2>/dev/null)" = "$2" ]; }

if have dev "$dev_stamp" || { [ "$want" = base ] && have base "$base_stamp"; }; then
    exit 0
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        say "$python cannot create virtual environments."
        say "On Debian or Ubuntu: sudo apt install python$version-venv"
        exit 1
    fi
    say "Creating .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi

say "Installing requirements/$want.txt (some seconds, more without a package cache)"
rm -f .venv/.installed-base .venv/.installed-dev
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
    --require-hashes -r requirements/setup.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps \
    --require-hashes -r "requirements/$want.txt"
.venv/bin/python scripts/install_commands.py

printf '%s\n' "$base_stamp" > .venv/.installed-base
[ "$want" = base ] || printf '%s\n' "$dev_stamp" > .venv/.installed-dev
