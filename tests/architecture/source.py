"""The product's own source, parsed once for the tests that read it."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("apps", "fleetd", "fleetctl", "agent/fleetd_agent")


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's parts, for example ("apps", "devices", "services", "groups.py")."""
        return Path(self.path).parts

    def source(self, node: ast.AST) -> str:
        """The text of a node."""
        return ast.get_source_segment(self.text, node) or ""

    def lines_before(self, node: ast.AST, count: int) -> str:
        """The node's line and some before it."""
        line: int = node.lineno  # type: ignore[attr-defined]
        return "\n".join(self.text.splitlines()[max(0, line - 1 - count) : line])


@cache
def modules() -> tuple[Module, ...]:
    """Every hand-written Python file of the product."""
    found = []
    for top in PRODUCT:
        for file in sorted((ROOT / top).rglob("*.py")):
            path = str(file.relative_to(ROOT))
            if "/pb/" in path or "/migrations/" in path:
                continue
            text = file.read_text()
            found.append(Module(path, text, ast.parse(text)))
    return tuple(found)


def app_modules() -> tuple[Module, ...]:
    """The files below apps/."""
    return tuple(m for m in modules() if m.parts[0] == "apps")
