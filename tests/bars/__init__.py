"""The bars of the security specification, one file each."""
