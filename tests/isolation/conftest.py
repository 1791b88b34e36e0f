"""The RPC doors of tests/rpc."""

from tests.rpc.conftest import _no_remembered_keys, doors  # noqa: F401
