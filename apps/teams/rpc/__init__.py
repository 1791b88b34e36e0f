"""The RPC door of teams and roles."""
