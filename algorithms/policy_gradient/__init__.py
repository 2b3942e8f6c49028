"""Searches that train a distribution over architectures by its rewards."""
