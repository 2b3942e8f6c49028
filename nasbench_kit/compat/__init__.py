"""Interfaces of other projects, unchanged for their callers."""
