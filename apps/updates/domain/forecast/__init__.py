"""The forecast of a rollout: its own engine on a virtual clock, over the devices' histories."""

from apps.updates.domain.forecast.answer import Forecast, Scenario, Spread, forecast
from apps.updates.domain.forecast.history import Defaults, DeviceHistory

__all__ = ["Defaults", "DeviceHistory", "Forecast", "Scenario", "Spread", "forecast"]
