"""What one site bears: how many of its devices work at a time, and how fast they download."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from apps.updates.domain.problems import BadPlan

LABELS = "labels."
MAX_NAME = 100
MAX_IN_FLIGHT = 10_000_000
MAX_BYTES = 1 << 40
# With less than so many bytes per second a device would not get anywhere.
SMALLEST_SHARE = 1024


@dataclass(frozen=True, slots=True)
class SiteLimit:
    """The limits of each site, and by which label of the devices sites are told apart.

    Devices without the label are a site of their own. `bytes_per_second` is what all devices of a
    site that are at work have together, 0 for no limit: each gets an equal share, so that they
    never have more.
    """

    by: str = "labels.site"
    in_flight: int = 1
    bytes_per_second: int = 0

    @property
    def label(self) -> str:
        """The name of the label."""
        return self.by.removeprefix(LABELS)

    @property
    def share(self) -> int:
        """Bytes per second of one device; 0 for no limit."""
        return self.bytes_per_second // self.in_flight

    def check(self) -> None:
        """Raises `BadPlan`."""
        name = self.label
        if self.by == name or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            message = f"Sites are told apart by a label, as {LABELS}site."
            raise BadPlan("site_limit.by", message)
        for field, number, least, most in (
            ("in_flight", self.in_flight, 1, MAX_IN_FLIGHT),
            ("bytes_per_second", self.bytes_per_second, 0, MAX_BYTES),
        ):
            if isinstance(number, bool) or not least <= number <= most:
                message = f"This is a whole number from {least} to {most}."
                raise BadPlan(f"site_limit.{field}", message)
        if self.bytes_per_second and self.share < SMALLEST_SHARE:
            message = (
                f"Shared by {self.in_flight} devices this is less than {SMALLEST_SHARE} bytes per "
                "second for each: let fewer of them work at a time."
            )
            raise BadPlan("site_limit.bytes_per_second", message)

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def restore(cls, dumped: Mapping[str, Any]) -> "SiteLimit":
        """The limit that `dump` was given."""
        return cls(**dumped)
