"""The gateway: `python -m fleetd.rpc`."""

import asyncio
import os
import sys

# The only TLS 1.2 suite allowed needs an RSA certificate, which the gateway never has: what is left
# is TLS 1.3 (ADR 0013). gRPC reads this when it is imported.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"
# Refused handshakes are everyday life of an open port.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")


def main() -> int:
    """Runs until it is told to stop."""
    import django
    import uvloop
    from django.conf import settings

    from fleetd.settings.env import SettingError
    from fleetd.settings.startup import refuse_without_secrets

    try:
        refuse_without_secrets(settings)
    except SettingError as error:
        sys.stderr.write(f"fleetd gateway: {error}\n")
        return 1
    django.setup()
    from apps.core.errors import FleetdError
    from fleetd.rpc import server

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.run())
    except (server.StartError, FleetdError) as error:
        sys.stderr.write(f"fleetd gateway: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
