"""What the log says about a bug: where it was, and no value that was at hand there."""

import io
import logging

import pytest

from fleetd.settings.logs import logging_config


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: str) -> None:
    config = logging_config("INFO", form)["formatters"]["line"]
    factory, arguments = config["()"], {k: v for k, v in config.items() if k != "()"}
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(factory(**arguments))
    log = logging.getLogger(f"test.{form}")
    log.propagate = False
    log.addHandler(handler)

    def sign_in(password: str) -> None:
        raise RuntimeError("it broke")

    try:
        sign_in("hunter2" + "-hunter3")
    except RuntimeError:
        log.exception("request_failed")
    assert "it broke" in stream.getvalue()
    assert "sign_in" in stream.getvalue()
    assert "hunter2-hunter3" not in stream.getvalue()
