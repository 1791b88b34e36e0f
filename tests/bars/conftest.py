"""What the bars need of pytest itself."""

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Gives each of schemathesis' tests the identifier that its name says.

    pytest 9.2 derives identifiers from its own parametrization, so that all operations would share
    one, and xdist runs one test of each identifier.
    """
    if type(item).__name__ == "SchemathesisFunction" and item.parent is not None:
        item._id = item.parent.id.child(item.name)
