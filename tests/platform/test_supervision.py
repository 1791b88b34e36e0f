"""`fleetd up` under everything that happens to processes."""

import os
import pwd
import signal
import socket
import stat
import subprocess
import sysconfig
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest

from fleetd.settings.layout import read_private
from fleetd.supervisor import roles
from tests.platform.runner import ROOT, FleetdUp, still_alive, wait_for

CHILDREN = {
    "web": ("uvicorn", "fleetd.asgi:application"),
    "gateway": ("-m fleetd.rpc",),
    "worker": ("celery", "worker"),
    "valkey": ("valkey-server",),
    "postgres": ("postgres", "-D"),
}
IDLE_LIMIT_MIB = 700


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


class TestOneRunningPlatform:
    def test_the_first_visit_is_guarded_by_a_code_that_the_server_prints(self, platform):
        assert f"{platform.url}/setup?code=" in platform.output

    def test_health_is_answered(self, platform):
        assert answers(platform.url)

    def test_every_file_with_a_secret_is_for_its_owner_only(self, platform):
        layout = platform.layout
        for folder in (layout.root, layout.secrets, layout.run, layout.logs):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
        files = [*layout.secrets.iterdir(), *layout.run.glob("*url"), *layout.ca.glob("*.key")]
        assert len(files) > 5
        for path in files:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    def test_two_installations_share_no_secret(self, platform, prepared):
        ours = {path.name: path.read_text() for path in platform.layout.secrets.iterdir()}
        theirs = {path.name: path.read_text() for path in (prepared / "secrets").iterdir()}
        assert ours.keys() == theirs.keys()
        assert not set(ours.values()) & set(theirs.values())
        assert len(set(ours.values())) == len(ours)

    def test_no_secret_is_shown_in_the_list_of_processes(self, platform):
        secrets = [read_private(path) for path in platform.layout.secrets.iterdir()]
        lines = "\n".join(" ".join(p.cmdline()) for p in platform.processes())
        assert not [secret for secret in secrets if secret in lines]

    def test_no_role_is_a_superuser_or_skips_row_security(self, platform):
        with psycopg.connect(read_private(platform.layout.database_url("auditor"))) as auditor:
            rows = auditor.execute(
                "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb"
                " FROM pg_roles WHERE rolname LIKE 'fleetd_%'"
            ).fetchall()
        assert dict(rows) == {roles.OWNER: False, roles.APP: False, roles.AUDITOR: False}

    def test_the_application_role_cannot_change_the_schema(self, platform):
        url = read_private(platform.layout.database_url("app"))
        with psycopg.connect(url, autocommit=True) as app:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("CREATE TABLE public.x ()")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("ALTER TABLE django_session DISABLE ROW LEVEL SECURITY")

    def test_a_second_start_is_refused_and_harms_nothing(self, platform):
        before = {p.pid for p in platform.processes()}
        second = FleetdUp(platform.layout.root)
        second.output_path = platform.layout.root.parent / "second-console"
        second.launch()
        assert second.end() == 2
        assert "already in use by a running fleetd" in second.output
        assert answers(platform.url)
        assert {p.pid for p in platform.processes()} >= before - {None}

    @pytest.mark.parametrize("name", CHILDREN)
    def test_a_killed_child_is_reported_and_started_again(self, platform, name):
        words = CHILDREN[name]
        killed = platform.child(*words)
        reports = platform.output.count(f"{name:<10} is back")
        killed.kill()
        wait_for(
            lambda: platform.output.count(f"{name:<10} is back") > reports, 60, f"{name} is back"
        )
        assert platform.child(*words).pid != killed.pid
        assert "stopped unexpectedly (killed by SIGKILL)" in platform.output
        wait_for(lambda: answers(platform.url), 30, "health")

    def test_at_rest_it_fits_into_700_mib(self, platform):
        sizes = {p.pid: p.memory_info().rss / 2**20 for p in platform.processes()}
        assert sum(sizes.values()) < IDLE_LIMIT_MIB, sizes


class TestStopping:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_stops_everything_within_seconds(self, prepared, number):
        running = FleetdUp(prepared).start()
        processes = running.processes()
        assert len(processes) > len(CHILDREN)
        assert running.stop(number) == 0
        assert still_alive(processes) == []
        assert not running.layout.database_url("app").exists()

    def test_killing_the_supervisor_leaves_no_process_and_the_next_start_recovers(self, prepared):
        running = FleetdUp(prepared).start()
        processes = running.processes()
        running.stop(signal.SIGKILL)
        wait_for(lambda: not still_alive(processes), 20, "children end with the supervisor")
        again = FleetdUp(prepared).start()
        assert answers(again.url)
        assert again.stop() == 0

    def test_killing_every_process_loses_no_data_directory(self, prepared):
        running = FleetdUp(prepared).start()
        for process in running.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        running.end()
        again = FleetdUp(prepared).start()
        assert again.stop() == 0

    def test_a_signal_during_the_start_stops_too_also_far_down_in_the_tree(self, tmp_path):
        # A Unix socket below this directory would have a name longer than the kernel allows.
        running = FleetdUp(tmp_path / ("a-long-name-" * 12) / "var")
        running.layout.root.mkdir(parents=True)
        running.launch()
        wait_for(lambda: "postgres" in running.output, 30, "the database has started")
        processes = running.processes()
        assert running.stop(signal.SIGINT) == 0
        assert still_alive(processes) == []


class TestRefusals:
    def test_a_busy_port_is_said_before_anything_starts(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            running = FleetdUp(tmp_path / "var", FLEETD_WEB_LISTEN=address)
            running.launch()
            assert running.end() == 3
        assert f"{address} is in use by another program; set FLEETD_WEB_LISTEN" in running.output
        assert not (tmp_path / "var" / "postgres").exists()

    def test_a_weak_secret_key_is_refused_without_being_shown(self, tmp_path):
        running = FleetdUp(tmp_path / "var", FLEETD_SECRET_KEY="changeme-changeme")
        running.launch()
        assert running.end() == 1
        assert "FLEETD_SECRET_KEY is shorter than 32 bytes" in running.output
        assert "changeme" not in running.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(tmp_path_factory):
    user = pwd.getpwnam("nobody")
    data = Path("/tmp") / f"fleetd-user-{os.getpid()}"
    data.mkdir()
    os.chown(data, user.pw_uid, user.pw_gid)
    running = FleetdUp(data / "var", HOME=str(data))
    running.output_path = data / "console"
    python = interpreter_for(user)
    if python is None:
        pytest.skip("no interpreter of this version that other users may run")
    running.command[0] = python
    running.environment["PYTHONPATH"] += f":{sysconfig.get_path('purelib')}"
    running.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    running.start(user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/")
    try:
        assert {p.username() for p in running.processes()} == {"nobody"}
        assert answers(running.url)
    finally:
        assert running.stop() == 0
        subprocess.run(["rm", "-rf", str(data)], check=True)


def interpreter_for(user: pwd.struct_passwd) -> str | None:
    """A Python of our version that the user can run with our code: ours may lie below /root."""
    import sys

    version = "{}.{}".format(*sys.version_info)
    for candidate in (sys.executable, f"/usr/bin/python{version}"):
        try:
            subprocess.run(
                [candidate, "-c", "import fleetd, psutil"],
                check=True,
                env={"PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}"},
                capture_output=True,
                cwd="/",
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose first start is over, so that later ones are quick."""
    data = tmp_path_factory.mktemp("prepared") / "var"
    FleetdUp(data).start().stop()
    return data
