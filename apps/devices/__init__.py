"""Devices: what they are, whether they can be reached, and the groups that they belong to."""
