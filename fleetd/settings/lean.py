"""Keeps out of memory what no process of ours uses."""

import sys
from importlib import import_module


def import_signers() -> None:
    """Imports securesystemslib without boto3, which it takes for a cloud's key service.

    That would be 23 MB in each process. Who stores artifacts in a bucket imports boto3 later.
    """
    if "boto3" in sys.modules:
        return
    sys.modules["boto3"] = None  # type: ignore[assignment]
    try:
        import_module("securesystemslib.signer")
    finally:
        del sys.modules["boto3"]
