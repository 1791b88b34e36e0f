"""What people and the platform do with devices."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.audit.services.entries import record
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.authz import Permission, require
from apps.core.errors import NotFound, PermissionDenied, invalid
from apps.devices.domain import tags as tag_rules
from apps.devices.domain.states import Connectivity, Lifecycle
from apps.devices.errors import (
    DeviceDecommissioned,
    DeviceNotActive,
    DeviceNotPending,
    HardwareIdInUse,
)
from apps.devices.models import Device, DeviceGroup, DeviceState, GroupMember
from apps.devices.permissions import (
    APPROVE_DEVICE,
    DECOMMISSION_DEVICE,
    QUARANTINE_DEVICE,
    REGISTER_DEVICE,
    RELEASE_DEVICE,
    REPORT_STATE,
    UPDATE_DEVICE,
)
from apps.devices.selectors import find_enrolled_device
from apps.devices.services.counts import count_moves
from apps.devices.types import (
    DeviceApproved,
    DeviceDecommissioned as DeviceDecommissionedEvent,
    DeviceQuarantined,
    DeviceRegistered,
    DeviceReleased,
    DeviceUpdated,
    Facts,
)
from apps.events.services.outbox import publish

MAX_NAME_LENGTH = 200
MAX_REASON_LENGTH = 200
