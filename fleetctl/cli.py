"""The command fleetctl."""

import argparse
import os
import sys
from collections.abc import Sequence

from fleetctl import __version__
from fleetctl.errors import CommandError

DEFAULT_SERVER = "http://127.0.0.1:8080"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code (`fleetctl help exit-codes`)."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except CommandError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    from fleetctl.sim.command import add_parser as add_sim

    parser = argparse.ArgumentParser(prog="fleetctl")
    parser.add_argument("--version", action="version", version=f"fleetctl {__version__}")
    server = os.environ.get("FLEETD_SERVER", DEFAULT_SERVER)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_sim(commands, server)
    return parser


if __name__ == "__main__":
    sys.exit(main())
