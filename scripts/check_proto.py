"""Lints proto/ and compares it with the released contracts in proto/released.binpb.

`--release` stores the present contracts as released. buf gets compiled images, because the file of
validation rules comes from a wheel and not from a registry.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from generate_proto import PROTO, ROOT, write_validate_descriptors

RELEASED = PROTO / "released.binpb"
BUF = Path(sys.executable).with_name("buf")
CONFIG = PROTO / "buf.yaml"


def write_image(path: Path) -> None:
    """Compiles every file of proto/ with its imports and comments into one image."""
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "validate.binpb"
        write_validate_descriptors(descriptors)
        files = sorted(str(p.relative_to(PROTO)) for p in PROTO.rglob("*.proto"))
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={descriptors}"),
            *(f"-I{PROTO}", "--include_imports", "--include_source_info"),
            *(f"--descriptor_set_out={path}", *files),
        ]
        subprocess.run(command, check=True, cwd=PROTO)


def main() -> int:
    """Returns 0 when nothing is wrong."""
    if "--release" in sys.argv:
        write_image(RELEASED)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        write_image(image)
        lint = [BUF, "lint", image, "--config", CONFIG]
        breaking = [BUF, "breaking", image, "--against", RELEASED, "--config", CONFIG]
        codes = [subprocess.run(list(map(str, c)), cwd=ROOT).returncode for c in (lint, breaking)]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
