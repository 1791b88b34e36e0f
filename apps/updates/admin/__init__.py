"""Artifacts, releases, rollouts, deployments and holds in the admin."""

from apps.updates.admin import artifacts, deployments, holds, notifications, releases, rollouts

__all__ = ["artifacts", "deployments", "holds", "notifications", "releases", "rollouts"]
