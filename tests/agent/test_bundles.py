"""Components that belong together: all or nothing, or one after the other; hooks that wait."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fleetd_agent.messages import Step
from fleetd_agent.policy import Bundle, InstallPolicy

from tests.agent.support import (
    FastClock,
    FileServer,
    component,
    deploy,
    engine_on,
    offer_of,
    shell,
    steps,
)

SEQUENTIAL = InstallPolicy(bundle=Bundle.SEQUENTIAL)


async def test_all_is_staged_before_anything_is_switched_and_switched_before_it_is_verified(
    tmp_path: Path, files: FileServer
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"old a")
    log = tmp_path / "log"
    look = f"cat {a} {b} 2>/dev/null | tr '\\n' ' ' >> {log}; ls -a {tmp_path} >> {log}"
    report = await deploy(
        engine_on(tmp_path / "state"),
        offer_of(
            component(files, b"new a", name="a", target=str(a), before=shell(look)),
            component(files, b"new b", name="b", target=str(b)),
            policy=InstallPolicy(),
        ),
    )
    assert report.step == Step.SUCCEEDED
    seen = log.read_text()
    assert seen.startswith("old a")
    assert seen.count(".fleetd-new-") == 2  # both are staged


async def test_sequential_components_are_verified_one_by_one_and_those_that_work_stay(
    tmp_path: Path, files: FileServer
) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    for path in (a, b, c):
        path.write_bytes(b"old")
    engine = engine_on(tmp_path / "state")
    report = await deploy(
        engine,
        offer_of(
            component(files, b"new a", name="a", target=str(a), verify=shell("true")),
            component(files, b"new b", name="b", target=str(b), verify=shell(f"cat {c}; false")),
            component(files, b"new c", name="c", target=str(c)),
            policy=SEQUENTIAL,
        ),
    )
    assert (report.step, report.reason_code) == (Step.FAILED, "verify_failed")
    assert "installed and kept: a" in report.message
    assert report.log_tail == "old"  # c was not touched when b was verified
    assert [path.read_bytes() for path in (a, b, c)] == [b"new a", b"old", b"old"]
    assert engine.state.installed == {"a": "2"}


async def test_a_hook_that_asks_for_it_is_tried_again_with_growing_pauses(
    tmp_path: Path, files: FileServer
) -> None:
    count = tmp_path / "count"
    busy = f"echo busy; echo $FLEETD_ATTEMPT >> {count}; [ $(wc -l < {count}) -ge 4 ] || exit 75"
    clock = FastClock()
    engine = engine_on(tmp_path / "state", clock=clock)
    target = tmp_path / "app"
    offer = offer_of(component(files, b"new", target=str(target), before=shell(busy)))
    assert (await deploy(engine, offer)).step == Step.SUCCEEDED
    assert count.read_text().split() == ["1", "2", "3", "4"]
    assert [s for s in clock.slept if s in (15, 30, 60)] == [15, 30, 60]
    assert ("waiting", "hook_deferred") in steps(engine)
    told = next(r for r in engine.state.outbox if r.reason_code == "hook_deferred")
    assert told.log_tail == "busy\n"


async def test_a_hook_that_never_has_time_fails_at_the_deadline_and_nothing_has_changed(
    tmp_path: Path, files: FileServer
) -> None:
    deadline = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    target = tmp_path / "app"
    app = component(files, b"new", target=str(target), before=shell("exit 75"))
    engine = engine_on(tmp_path / "state", clock=FastClock())
    report = await deploy(engine, offer_of(app, deadline=deadline))
    assert (report.step, report.reason_code) == (Step.FAILED, "hook_failed")
    assert "deadline" in report.message
    assert not target.exists()


@pytest.mark.parametrize("code", [1, 3, 127])
async def test_any_other_exit_code_fails(tmp_path: Path, files: FileServer, code: int) -> None:
    app = component(files, b"new", target=str(tmp_path / "app"), after=shell(f"exit {code}"))
    report = await deploy(engine_on(tmp_path / "state"), offer_of(app))
    assert (report.step, report.reason_code) == (Step.ROLLED_BACK, "hook_failed")
    assert f"exit code {code}" in report.message


async def test_a_deferral_survives_a_restart(tmp_path: Path, files: FileServer) -> None:
    import asyncio

    from tests.agent.peer import until

    go = tmp_path / "go"
    app = component(
        files, b"new", target=str(tmp_path / "app"), before=shell(f"test -e {go} || exit 75")
    )
    offer = offer_of(app)
    engine = engine_on(tmp_path / "state")
    engine.offer(offer)
    work = asyncio.create_task(engine.run())
    await until(lambda: any(r.reason_code == "hook_deferred" for r in engine.state.outbox))
    engine.stop()
    await work
    go.touch()
    engine = engine_on(tmp_path / "state")
    assert (await deploy(engine, offer)).step == Step.SUCCEEDED
