"""Whether docs/reference/filters.md is what `manage.py filters_reference` prints."""

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "filters.md"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetd.settings.base")
    django.setup()
    from fleetd.management.commands.filters_reference import whole_page

    if not PAGE.exists() or PAGE.read_text() != whole_page():
        print(f"{PAGE} is not current: run `manage.py filters_reference > {PAGE}`")
        sys.exit(1)
