#!/bin/sh
# Installs the fleetd agent on this machine and enrolls it with the platform that served this file.
#
#   curl -fsSL SERVER/install.sh | sudo FLEETD_TOKEN=fld_enr_... sh
#   wget -qO-  SERVER/install.sh | sudo FLEETD_TOKEN=fld_enr_... sh
#
# FLEETD_TOKEN          enrollment token; without one the agent is installed but not enrolled
# FLEETD_DRY_RUN=1      only says what would be done (also: SERVER/install.sh?dry-run=1)
# FLEETD_AGENT_PREFIX   where to install (default /opt/fleetd-agent, or ~/.local/share/fleetd-agent
#                       for ordinary users); with it set no system service is made
# FLEETD_CA_FILE        CA of the platform's web port, where it is a private one
#
# The agent itself comes from the platform and its SHA-256 is checked. Its libraries (grpcio,
# protobuf, cryptography, psutil) come from the Python package index that pip is set up with
# (PIP_INDEX_URL, PIP_FIND_LINKS): a machine that reaches none cannot be installed this way.
set -eu

SERVER_URL=@SERVER_URL@
AGENT_FILE=@AGENT_FILE@
AGENT_SHA256=@AGENT_SHA256@
DRY_RUN=${FLEETD_DRY_RUN:-@DRY_RUN@}

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
would() {
    if [ -n "$DRY_RUN" ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

describe() {
    name=unknown
    if [ -r /etc/os-release ]; then
        name=$(. /etc/os-release && printf '%s' "${PRETTY_NAME:-$NAME}")
    fi
    say "this is $name on $(uname -m), kernel $(uname -r), user $(id -un)"
}

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            PYTHON=$(command -v "$name")
            return
        fi
    done
    describe
    fail "Python 3.11 or newer is needed (Debian, Ubuntu: apt install python3 python3-venv)"
}

check_venv() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$PYTHON cannot make virtual environments (Debian, Ubuntu: apt install python3-venv)"
}

choose_places() {
    is_service=
    if [ -n "${FLEETD_AGENT_PREFIX:-}" ]; then
        prefix=$FLEETD_AGENT_PREFIX
    elif [ "$(id -u)" = 0 ]; then
        prefix=/opt/fleetd-agent
        is_service=yes
    else
        prefix=${XDG_DATA_HOME:-$HOME/.local/share}/fleetd-agent
    fi
    agent=$prefix/bin/fleetd-agent
}

download() {
    "$PYTHON" - "$SERVER_URL/install/$AGENT_FILE" "$1" "$AGENT_SHA256" <<'PYTHON' ||
import hashlib, os, ssl, sys, urllib.request
url, target, expected = sys.argv[1:]
context = ssl.create_default_context(cafile=os.environ.get("FLEETD_CA_FILE") or None)
try:
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:
        content = answer.read(64 << 20)
except OSError as error:
    sys.exit(f"error: {url}: {error}")
if hashlib.sha256(content).hexdigest() != expected:
    sys.exit(f"error: {url} is not the file that this installer was made for")
with open(target, "wb") as stream:
    stream.write(content)
PYTHON
        fail "nothing was installed"
}

install_agent() {
    is_there=
    [ ! -x "$agent" ] || is_there=yes
    [ -n "$is_there" ] || would "$PYTHON" -m venv "$prefix"
    would "$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade \
        "$temporary/$AGENT_FILE" || fail "pip could not install the agent: see its message above"
    if [ -n "$is_there" ]; then
        # The version may be the same and the content newer: pip keeps the old one unless forced.
        would "$prefix/bin/python" -m pip install --quiet --disable-pip-version-check \
            --force-reinstall --no-deps "$temporary/$AGENT_FILE"
    fi
    # What runs from now on is this one, and not one of an earlier update of the agent by itself.
    would "$prefix/bin/python" -m fleetd_agent.launcher
    if [ -n "$is_service" ]; then
        would ln -sfn "$agent" /usr/local/bin/fleetd-agent
    fi
}

enroll() {
    if [ -z "${FLEETD_TOKEN:-}" ]; then
        say "no FLEETD_TOKEN given; enroll with: FLEETD_TOKEN=... $agent enroll --server $SERVER_URL"
        return
    fi
    if [ -n "$DRY_RUN" ]; then
        say "would run: $agent enroll --server $SERVER_URL"
        return
    fi
    if "$agent" status --json 2>/dev/null | grep -q '"device_id"'; then
        say "this machine is enrolled already; its identity stays"
        return
    fi
    "$agent" enroll --server "$SERVER_URL"
}

write_unit() {
    unit=$("$prefix/bin/python" -c 'from importlib.resources import files
print((files("fleetd_agent") / "data" / "fleetd-agent.service").read_text(), end="")')
    printf '%s\n' "$unit" > /etc/systemd/system/fleetd-agent.service
    if [ -n "${FLEETD_CA_FILE:-}" ]; then
        mkdir -p /etc/fleetd
        printf 'FLEETD_CA_FILE=%s\n' "$FLEETD_CA_FILE" > /etc/fleetd/environment
    fi
}

start() {
    if [ -n "$is_service" ] && [ -d /run/systemd/system ]; then
        if [ -n "$DRY_RUN" ]; then
            say "would write: /etc/systemd/system/fleetd-agent.service"
        else
            write_unit
        fi
        would systemctl daemon-reload
        would systemctl enable --quiet fleetd-agent
        would systemctl restart fleetd-agent
        say "running: systemctl status fleetd-agent"
    else
        say "no system service was made; start the agent with: $agent run"
    fi
}

main() {
    umask 022
    find_python
    check_venv
    choose_places
    describe
    say "installing the fleetd agent of $SERVER_URL into $prefix"
    temporary=$(mktemp -d)
    trap 'rm -rf "$temporary"' EXIT
    trap 'exit 1' HUP INT TERM
    download "$temporary/$AGENT_FILE"
    install_agent
    enroll
    start
}

main "$@"
