"""REST of devices and groups."""
