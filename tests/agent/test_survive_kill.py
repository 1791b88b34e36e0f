"""A device that is killed at any instant of an installation ends well and applies nothing twice."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent import debian, kill_matrix, kill_packages
from tests.agent.support import FileServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where possible: a killed process loses nothing that it has written."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def run_matrix(folder: Path, files: FileServer, scenario: str) -> list[dict[str, Any]]:
    for content in (*kill_matrix.NEW.values(), kill_matrix.SCRIPT):
        files.add(content)
    done = subprocess.run(
        [sys.executable, kill_matrix.__file__, str(folder), files.url, scenario],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_nothing_twice(result: dict[str, Any]) -> None:
    repeatable = ("verify", "roll_back")
    counts = Counter(line for line in result["log"] if not line.endswith(repeatable))
    assert max(counts.values(), default=0) <= 1, result


def assert_all_new(result: dict[str, Any]) -> None:
    assert (result["config"], result["binary"]) == ("new config", "new binary"), result
    assert result["image"] == "new image", result
    assert "script" in result["log"]


def assert_all_old(result: dict[str, Any]) -> None:
    assert (result["config"], result["binary"]) == ("old config", None), result
    assert result["image"] == "old image", result
    assert not result["has_new_folder"]


@pytest.mark.parametrize("scenario", ["good", "bad"])
def test_a_kill_at_any_instant_leaves_all_new_or_all_old(
    folder: Path, files: FileServer, scenario: str
) -> None:
    results = run_matrix(folder, files, scenario)
    assert len(results) > (60 if scenario == "good" else 15)
    assert not results[-1]["is_killed"]
    assert results[-1]["step"] == ("succeeded" if scenario == "good" else "rolled_back")
    for result in results:
        assert_nothing_twice(result)
        assert result["strays"] == [], result
        if result["step"] == "succeeded":
            assert scenario == "good"
            assert_all_new(result)
        else:
            assert_all_old(result)
            reasons = {"interrupted"} | ({"verify_failed"} if scenario == "bad" else set())
            assert result["reason"] in reasons, result
    if scenario == "good":  # only kills in the middle of a command have to go back
        ends = Counter(result["step"] for result in results)
        assert ends["succeeded"] > ends["rolled_back"], ends


def test_a_kill_in_a_sequential_bundle_leaves_a_whole_beginning_of_it(
    folder: Path, files: FileServer
) -> None:
    results = run_matrix(folder, files, "sequential")
    assert results[-1]["step"] == "succeeded"
    for result in results:
        assert_nothing_twice(result)
        assert result["strays"] == [], result
        new = [result["config"] == "new config", result["binary"] == "new binary"]
        new.append(result["image"] == "new image")
        assert new == sorted(new, reverse=True), result  # those at the beginning, and no other
        kept = result["message"].partition("installed and kept: ")[2].split(", ")
        if result["step"] == "succeeded":
            assert_all_new(result)
        else:
            names = ("config", "binary", "image")
            assert [name in kept for name in names] == new, result


def run_packages(folder: Path, files: FileServer, scenario: str) -> list[dict[str, Any]]:
    contents = {
        "package": debian.build(folder, "2.0", postinst=kill_packages.SLOW),
        "config": b"new config",
    }
    digests = {kind: (files.add(content), len(content)) for kind, content in contents.items()}
    done = subprocess.run(
        [sys.executable, kill_packages.__file__]
        + [str(folder), files.url, scenario, json.dumps(digests)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'agent'}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="this machine has no dpkg")
@pytest.mark.parametrize("scenario", ["good", "bad"])
def test_a_kill_around_dpkg_leaves_one_whole_version_and_configures_it_once(
    folder: Path, files: FileServer, scenario: str
) -> None:
    results = run_packages(folder, files, scenario)
    assert len(results) > (12 if scenario == "good" else 5)
    assert results[-1]["step"] == ("succeeded" if scenario == "good" else "rolled_back")
    for result in results:
        version = "2.0" if result["step"] == "succeeded" else "1.0"
        assert result["package"] == f"installed {version}", result
        assert result["files"] == version, result
        assert result["config"] == ("new config" if version == "2.0" else "old config"), result
        assert result["log"].count("2.0 configure") <= 1, result
        reasons = {"", "interrupted"} if scenario == "good" else {"verify_failed", "interrupted"}
        assert result["reason"] in reasons, result
    if scenario == "good":  # dpkg is left to end by itself, so that nothing has to go back
        assert {result["step"] for result in results} == {"succeeded"}
