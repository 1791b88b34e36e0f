"""`python -m fleetd_agent` is fleetd-agent."""

import sys

from fleetd_agent.cli import main

sys.exit(main())
