"""Tables of the update engine."""

from apps.updates.models.artifacts import Artifact
from apps.updates.models.deployments import Deployment
from apps.updates.models.releases import Component, ComponentKind, Release
from apps.updates.models.rollouts import Phase, Rollout, RolloutEvent

__all__ = [
    "Artifact",
    "Component",
    "ComponentKind",
    "Deployment",
    "Phase",
    "Release",
    "Rollout",
    "RolloutEvent",
]
