"""How each kind of component is installed on a real machine, and undone."""

from pathlib import Path

from fleetd_agent.handlers import container, package
from fleetd_agent.handlers.container import ContainerHandler
from fleetd_agent.handlers.files import FileHandler
from fleetd_agent.handlers.firmware import FirmwareHandler
from fleetd_agent.handlers.package import PackageHandler
from fleetd_agent.handlers.plugins import find_plugins
from fleetd_agent.handlers.script import ScriptHandler
from fleetd_agent.handlers.self_update import AgentHandler
from fleetd_agent.plan import AGENT
from fleetd_agent.ports import Handler, Runner

BINARY_MODE, CONFIG_MODE = 0o755, 0o644


def handlers_for(state_dir: Path, runner: Runner) -> dict[str, Handler]:
    """The kinds that this machine can install, by name; ours come before those of plug-ins."""
    slots = state_dir / "slots"
    handlers: dict[str, Handler] = {
        **find_plugins(state_dir, runner),
        "binary": FileHandler(state_dir, BINARY_MODE, runner),
        "config": FileHandler(state_dir, CONFIG_MODE, runner),
        "script": ScriptHandler(runner),
        "firmware": FirmwareHandler(slots),
        AGENT: AgentHandler(slots),
    }
    if package.is_present():
        handlers["package"] = PackageHandler(state_dir / "packages", runner)
    if engine := container.find_engine():
        handlers["container"] = ContainerHandler(runner, engine)
    return handlers


__all__ = ["FileHandler", "FirmwareHandler", "handlers_for"]
