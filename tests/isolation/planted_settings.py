"""Settings under which the shipped check runs with a leak: a task that works for anybody."""

from fleetd.settings.base import *  # noqa: F403
from fleetd.settings.base import INSTALLED_APPS as PRODUCT

INSTALLED_APPS = [*PRODUCT, "tests.isolation.leaky"]
