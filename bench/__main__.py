"""Runs every benchmark, or those named: `python -m bench [name …]`."""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = {"__init__", "__main__", "harness", "pages"}


def main() -> None:
    """Runs the benchmarks one after the other; each prints its table and keeps its result."""
    names = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in SHARED)
    chosen = sys.argv[1:] or names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        sys.exit(f"no benchmark named {unknown[0]}; there are: {', '.join(names)}")
    for name in chosen:
        runpy.run_module(f"bench.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
