"""`fleetctl sim up`."""

import argparse
import asyncio
import os
import re
import signal
import sys
from pathlib import Path

from fleetd_agent.logs import set_up_logs

from fleetctl.errors import UsageError
from fleetctl.sim.behaviour import (
    BadRule,
    Behaviour,
    parse_installed,
    parse_probabilities,
    parse_share,
    parse_version_rule,
)
from fleetctl.sim.fleet import Fleet, Plan
from fleetctl.sim.hardware import SITES, TEMPLATES
from fleetctl.sim.store import Store, StoreInUse

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
TERMINAL_LINE_SECONDS = 1.0
PLAIN_LINE_SECONDS = 10.0

EXAMPLES = """\
examples:
  FLEETD_ENROLLMENT_TOKEN=fld_enr_... fleetctl sim up --count 200 --ramp 30s
  fleetctl sim up --count 50 --fail-version edge=2.4.1:verify=1.0 --token fld_enr_...
  fleetctl sim up --count 200 --fail-verify 2.4.1=0.08 --offline 0.05 --installed edge=2.4.0

Devices keep their identities and versions in --state-dir; start again with the same --seed to go
on. They download for real and check digests, but install nothing and run no hooks.
"""


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", server: str
) -> None:
    """Adds `sim up` to fleetctl."""
    sim = commands.add_parser("sim", help="simulated devices")
    kinds = sim.add_subparsers(metavar="COMMAND", required=True)
    up = kinds.add_parser(
        "up",
        help="run simulated devices until Ctrl-C",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument("--server", default=server, metavar="URL")
    up.add_argument("--token", help="enrollment token; better: FLEETD_ENROLLMENT_TOKEN")
    up.add_argument("--count", type=int, default=10, metavar="N")
    up.add_argument("--seed", type=int, default=1, metavar="S")
    up.add_argument("--ramp", type=duration, default=10.0, metavar="30s", help="time to start all")
    up.add_argument("--heartbeat", type=duration, metavar="30s", help="instead of the server's")
    up.add_argument("--step-seconds", type=float, default=3.0, help="how long a step takes")
    up.add_argument("--fail-prob", default="", metavar="download=.01,verify=.02")
    up.add_argument("--fail-version", action="append", default=[], metavar="NAME=VERSION:STEP=P")
    up.add_argument(
        "--fail-verify",
        action="append",
        default=[],
        metavar="VERSION=0.08",
        help="this share of the devices never verifies this version; the same ones each time;"
        " VERSION@pi4=0.9 for one template",
    )
    up.add_argument(
        "--hot",
        action="append",
        default=[],
        metavar="VERSION=0.3",
        help="this share of the devices runs hot and busy with this version; VERSION@pi4 likewise",
    )
    up.add_argument(
        "--installed",
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help="which components devices have installed when they start for the first time",
    )
    up.add_argument("--offline", type=float, default=0.0, metavar="0.05", help="share of the time")
    up.add_argument("--offline-cycle", type=duration, default=600.0, metavar="10m")
    up.add_argument("--bandwidth", type=int, default=0, metavar="BYTES", help="per second, each")
    up.add_argument("--template", default=",".join(TEMPLATES), metavar=",".join(TEMPLATES))
    up.add_argument("--sites", default=",".join(SITES))
    up.add_argument("--state-dir", type=Path, default=default_state_dir(), metavar="DIR")
    up.set_defaults(run=run)


def duration(text: str) -> float:
    """`30s`, `500ms`, `2m` or plain seconds."""
    found = DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: write a duration like 30s or 2m")
    return float(found[1]) * UNITS[found[2]]


def default_state_dir() -> Path:
    """The user's own state folder."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(base) / "fleetd-sim"


def run(options: argparse.Namespace) -> int:
    """Runs the simulation until Ctrl-C or SIGTERM."""
    set_up_logs(os.environ.get("FLEETD_LOG_LEVEL", "ERROR").upper())
    plan = make_plan(options)
    try:
        with Store(plan.state_dir) as store:
            store.bind(plan.server, plan.seed)
            asyncio.run(_simulate(plan, store))
    except StoreInUse as error:
        raise UsageError(str(error)) from error
    return 0


def make_plan(options: argparse.Namespace) -> Plan:
    """Checks the options."""
    token = options.token or os.environ.get("FLEETD_ENROLLMENT_TOKEN", "")
    templates, sites = options.template.split(","), options.sites.split(",")
    if unknown := sorted(set(templates) - set(TEMPLATES)):
        raise UsageError(f"no template {unknown[0]!r}; there are {', '.join(TEMPLATES)}")
    if options.count < 1:
        raise UsageError("--count must be at least 1")
    if not 0.0 <= options.offline < 1.0 or options.offline_cycle <= 0:
        raise UsageError("--offline is a share from 0 to 1 of an --offline-cycle")
    try:
        rules = tuple(parse_version_rule(text) for text in options.fail_version)
        shares = dict(parse_share(text) for text in options.fail_verify)
        installed = dict(parse_installed(text) for text in options.installed)
        probabilities = parse_probabilities(options.fail_prob)
        hot = dict(parse_share(text) for text in options.hot)
        behaviour = Behaviour(options.seed, probabilities, rules, shares, hot)
    except BadRule as error:
        raise UsageError(str(error)) from error
    return Plan(
        server=options.server.rstrip("/"),
        token=token,
        count=options.count,
        seed=options.seed,
        ramp_seconds=options.ramp,
        step_seconds=max(0.0, options.step_seconds),
        state_dir=options.state_dir,
        behaviour=behaviour,
        heartbeat_seconds=options.heartbeat,
        templates=templates,
        sites=sites,
        ca_file=os.environ.get("FLEETD_CA_FILE", ""),
        offline_share=options.offline,
        offline_cycle_seconds=options.offline_cycle,
        bytes_per_second=max(0, options.bandwidth),
        installed=installed,
    )


async def _simulate(plan: Plan, store: Store) -> None:
    fleet = Fleet(plan, store)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, fleet.stop)
    narrator = asyncio.create_task(_narrate(fleet))
    await fleet.run()
    narrator.cancel()
    sys.stderr.write(("\n" if sys.stderr.isatty() else "") + "simulation stopped\n")


async def _narrate(fleet: Fleet) -> None:
    is_terminal = sys.stderr.isatty()
    while True:
        line = fleet.summary()
        sys.stderr.write(f"\r\x1b[2K{line}" if is_terminal else f"{line}\n")
        sys.stderr.flush()
        await asyncio.sleep(TERMINAL_LINE_SECONDS if is_terminal else PLAIN_LINE_SECONDS)
