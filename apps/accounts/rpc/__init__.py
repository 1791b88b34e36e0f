"""RPC of this app."""
