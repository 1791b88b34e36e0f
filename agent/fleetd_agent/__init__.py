"""The fleetd device agent: enrolls a machine, reports its state and installs releases on it."""

__version__ = "0.1.0"
