"""The simulator is tested against the same platform in miniature as the agent."""

from tests.agent.conftest import files, peer

__all__ = ["files", "peer"]
