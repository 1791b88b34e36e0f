"""Whether docs/reference/configuration.md is what `fleetd config reference` prints."""

import sys
from pathlib import Path

from fleetd.settings.reference import reference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "configuration.md"

if __name__ == "__main__":
    if not PAGE.exists() or PAGE.read_text() != reference():
        print(f"{PAGE} is not current: run `fleetd config reference > {PAGE}`")
        sys.exit(1)
