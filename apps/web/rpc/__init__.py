"""The RPC door of what concerns several apps at once."""
