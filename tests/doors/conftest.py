"""The doors of tests/rpc and the REST client, side by side."""

from tests.rest.conftest import api, api_of  # noqa: F401
from tests.rpc.conftest import _no_remembered_keys, doors  # noqa: F401
