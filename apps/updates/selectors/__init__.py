"""Reads of the update engine."""
