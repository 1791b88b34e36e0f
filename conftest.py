"""Fixtures that every test of the repository may use."""

pytest_plugins = ["tests.platform_fixtures", "tests.isolation_fixtures"]
