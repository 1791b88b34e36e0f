"""Tables of the update engine."""

from apps.updates.models.artifacts import Artifact
from apps.updates.models.channels import ReleasePromotion
from apps.updates.models.deployments import Deployment
from apps.updates.models.holds import DeviceHold
from apps.updates.models.notifications import RolloutNotification
from apps.updates.models.packages import ReleasePackage
from apps.updates.models.releases import BundleMode, Component, ComponentKind, Release
from apps.updates.models.rollouts import Phase, Rollout, RolloutEvent
from apps.updates.models.signing import (
    InstructionCounter,
    SigningMetadata,
    SigningRepository,
    SigningRole,
)
from apps.updates.models.uploads import ArtifactUpload

__all__ = [
    "Artifact",
    "ArtifactUpload",
    "BundleMode",
    "Component",
    "ComponentKind",
    "Deployment",
    "DeviceHold",
    "InstructionCounter",
    "Phase",
    "Release",
    "ReleasePackage",
    "ReleasePromotion",
    "Rollout",
    "RolloutEvent",
    "RolloutNotification",
    "SigningMetadata",
    "SigningRepository",
    "SigningRole",
]
