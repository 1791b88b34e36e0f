"""The record of who did what, in a hash chain per organization."""
