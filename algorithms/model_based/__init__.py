"""Searches that fit a model of what they have seen."""
