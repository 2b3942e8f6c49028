"""Searches that mutate a population."""
