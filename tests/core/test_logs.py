"""What a log line may hold."""

import logging
import sys

import pytest

from fleetd.settings.logs import logging_config

SECRET = "fld_pat_not-for-the-log"


def logged(form: str) -> str:
    """The line about a failure in a function that holds a secret."""
    formatter = logging_config("INFO", form)["formatters"]["line"]
    options = {name: value for name, value in formatter.items() if name != "()"}
    try:
        fail("".join(SECRET))
    except ZeroDivisionError:
        failure = sys.exc_info()
    record = logging.LogRecord("test", logging.ERROR, __file__, 1, "it failed", (), failure)
    line: str = formatter["()"](**options).format(record)
    return line


def fail(authorization: str) -> float:
    return len(authorization) / 0


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_in_the_log_shows_no_variables(form: str) -> None:
    line = logged(form)
    assert "ZeroDivisionError" in line
    assert "in fail" in line or '"name": "fail"' in line
    assert SECRET not in line
