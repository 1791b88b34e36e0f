"""The RPC door of enrollment."""
