"""Searches that rank architectures by networks that are not trained."""
