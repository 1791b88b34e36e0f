"""What has to happen between the start of the servers and that of the platform's processes.

Runs as a short process of its own, because the supervisor never loads Django:
`python -m fleetd.prepare schema` as the schema's owner, then `python -m fleetd.prepare content` as
the application role. The second answers with one JSON object on standard output.
"""

import json
import os
import sys
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command, get_commands

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")


def prepare_schema() -> None:
    """Migrates as the schema's owner and collects static files. Repeating it changes nothing.

    The application role cannot migrate: there it only checks that somebody did.
    """
    if settings.DB_ROLE == "owner":
        call_command("migrate", verbosity=1, interactive=False, stdout=sys.stderr)
    else:
        call_command("migrate", verbosity=1, check_unapplied=True, stdout=sys.stderr)
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)


def prepare_content() -> dict[str, Any]:
    """Makes what the first start needs: authority, keys, the first owner or a code for `/setup`."""
    if "ensure_ca" in get_commands():
        call_command("ensure_ca", stdout=sys.stderr)
    call_command("ensure_audit_key", stdout=sys.stderr)
    create_bootstrap_owner()
    from apps.organizations.services.setup import issue_setup_code

    return {"setup_code": issue_setup_code()}


def create_bootstrap_owner() -> None:
    """Makes the owner that FLEETD_BOOTSTRAP_* names, while there is no user at all."""
    from apps.accounts.selectors import has_users
    from apps.organizations.services.setup import create_organization

    if not (settings.BOOTSTRAP_EMAIL and settings.BOOTSTRAP_PASSWORD) or has_users():
        return
    create_organization(
        None,
        name=settings.BOOTSTRAP_ORG or "Default",
        email=settings.BOOTSTRAP_EMAIL,
        password=settings.BOOTSTRAP_PASSWORD,
        is_superuser=True,
    )


def main(arguments: list[str]) -> int:
    """Runs one step."""
    django.setup()
    if arguments == ["schema"]:
        prepare_schema()
        return 0
    if arguments == ["content"]:
        sys.stdout.write(json.dumps(prepare_content()) + "\n")
        return 0
    sys.stderr.write("usage: python -m fleetd.prepare schema|content\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
