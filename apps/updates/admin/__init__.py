"""Artifacts, releases, rollouts and deployments in the admin."""

from apps.updates.admin import artifacts, deployments, releases, rollouts

__all__ = ["artifacts", "deployments", "releases", "rollouts"]
