"""RPC of devices and groups."""
