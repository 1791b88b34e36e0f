"""fleetctl: the command of people and pipelines. It talks only to the public API."""

__version__ = "0.1.0"
