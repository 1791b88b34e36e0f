"""What the logs hold: masked secrets, one line per event (S70)."""

import io
import json
import logging
import logging.config
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from django.test import RequestFactory

from apps.accounts.domain.secrets import new_secret
from fleetd.settings.logs import logging_config

Written = Callable[[Callable[[Any, logging.Logger], None]], str]


@pytest.fixture(params=["json", "console"])
def written(request: pytest.FixtureRequest) -> Written:
    """Runs something with a logger of each kind; the answer is what stands in the log."""

    def run(act: Callable[[Any, logging.Logger], None]) -> str:
        config = logging_config("INFO", request.param)
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        line = dict(config["formatters"]["line"])
        handler.setFormatter(line.pop("()")(**line))
        plain = logging.getLogger(f"tests.log_lines.{request.param}")
        plain.handlers, plain.propagate = [handler], False
        plain.setLevel("INFO")
        act(structlog.get_logger(plain.name), plain)
        return stream.getvalue()

    return run


def test_secrets_are_masked_in_fields_messages_and_arguments(written: Written) -> None:
    secret = new_secret("pat")

    def act(log: Any, plain: logging.Logger) -> None:
        log.info("a_call", password="hunter2", header=f"Bearer {secret}", deep={"otp": 123456})
        message = f"with {secret} in the text"
        log.info(message)
        plain.warning("of %s", secret)

    text = written(act)
    assert "a_call" in text
    for part in (secret, "hunter2", "123456"):
        assert part not in text


def test_secrets_are_masked_in_tracebacks(written: Written) -> None:
    secret = new_secret("svc")

    def act(log: Any, plain: logging.Logger) -> None:
        try:
            raise ValueError(f"cannot use {secret}\n2026-01-01 [info] forged")
        except ValueError:
            log.exception("it_failed")
            plain.exception("again")

    text = written(act)
    assert "cannot use ***" in text
    assert secret not in text
    assert not any(line.startswith("2026-01-01 [info] forged") for line in text.splitlines())


@pytest.mark.parametrize("evil", ["\n", "\r\n", "\x1b[2J\x1b[H", "\u202e", "\u2028", "\x85"])
def test_no_value_begins_a_line_of_its_own(written: Written, evil: str) -> None:
    forged = f"x{evil}2026-01-01T00:00:00Z [info] forged"

    def act(log: Any, plain: logging.Logger) -> None:
        log.info(forged, label=forged)
        plain.warning("it was %s", forged)

    text = written(act)
    assert len(text.splitlines()) == 2
    assert evil == "\n" or evil not in text


def test_json_lines_are_json() -> None:
    config = logging_config("INFO", "json")
    line = dict(config["formatters"]["line"])
    formatter = line.pop("()")(**line)
    record = logging.LogRecord("x", logging.INFO, "f", 1, "a\nb", (), None)
    assert json.loads(formatter.format(record))["event"] == "a\nb"


def test_a_request_object_does_not_show_its_query(written: Written) -> None:
    def act(log: Any, plain: logging.Logger) -> None:
        request = RequestFactory().get("/setup?code=hunter2")
        plain.warning("Forbidden: %s", request.path, extra={"request": request})
        log.info("other", thing=Secretive())

    text = written(act)
    assert "hunter2" not in text
    assert "Secretive" in text


class Secretive:
    """Something that would show a key."""

    def __repr__(self) -> str:
        return f"<Secretive {new_secret('pat')}>"
