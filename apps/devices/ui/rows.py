"""Devices as the lists show them."""

from dataclasses import dataclass
from typing import Any

from apps.core import clock
from apps.core.pagination import Page
from apps.devices.domain.connectivity import connectivity_of


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device and what its connectivity is at this moment, deadline and all."""

    device: Any
    connectivity: str


def rows_of(page: Page[Any]) -> Page[DeviceRow]:
    """The page with each device's connectivity as of now."""
    now = clock.now()
    rows = [DeviceRow(device, connectivity_of(device.state, now)) for device in page.items]
    return Page(rows, page.next_page_token)
