"""Whether docs/reference/manifest.md is what `manage.py manifest_reference` prints."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "manifest.md"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from apps.updates.domain.manifest.reference import page

    if not PAGE.exists() or PAGE.read_text() != page():
        print(f"{PAGE} is not current: run `manage.py manifest_reference > {PAGE}`")
        sys.exit(1)
