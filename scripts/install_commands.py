"""Puts the console commands into the virtual environment that runs this (`make setup`).

The platform runs from its clone, so nothing is built: a path file and one short script for each
command. `agent/` is installable with pip on its own for machines that only need the agent.
"""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "fleetd": "fleetd.cli",
    "fleetctl": "fleetctl.cli",
    "fleetd-agent": "fleetd_agent.cli",
}
# The first lines are shell to the shell and a string to Python: `#!` lines end at 127 bytes.
SCRIPT = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from {module} import main

if __name__ == "__main__":
    sys.exit(main())
"""


def main() -> None:
    """Writes the path file and the scripts."""
    site = Path(sysconfig.get_path("purelib"))
    (site / "fleetd_clone.pth").write_text(f"{ROOT}\n{ROOT / 'agent'}\n")
    scripts = Path(sysconfig.get_path("scripts"))
    for name, module in COMMANDS.items():
        path = scripts / name
        path.write_text(SCRIPT.format(python=sys.executable, module=module))
        path.chmod(0o755)


if __name__ == "__main__":
    main()
