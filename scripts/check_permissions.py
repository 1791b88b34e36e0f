"""Whether docs/reference/permissions.md is what `manage.py permissions_reference` prints."""

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "permissions.md"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")
    django.setup()
    from fleetd.management.commands.permissions_reference import page

    if not PAGE.exists() or PAGE.read_text() != page():
        print(f"{PAGE} is not current: run `manage.py permissions_reference > {PAGE}`")
        sys.exit(1)
