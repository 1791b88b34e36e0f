"""Pages of the devices app."""
