"""The forecast of a rollout: its own engine on a virtual clock, over the devices' histories."""

from apps.updates.domain.forecast.answer import Forecast, Scenario, Spread, forecast, runs_of
from apps.updates.domain.forecast.history import LEAST_WATCHED, Defaults, DeviceHistory

__all__ = [
    "LEAST_WATCHED",
    "Defaults",
    "DeviceHistory",
    "Forecast",
    "Scenario",
    "Spread",
    "forecast",
    "runs_of",
]
