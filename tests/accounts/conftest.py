"""Every test begins with full budgets of attempts."""

import pytest

from tests.accounts.people import forget_attempts


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    """Attempts of other tests do not count."""
    forget_attempts()
