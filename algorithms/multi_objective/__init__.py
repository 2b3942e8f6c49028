"""Searches that weigh several objectives, and recommend a front."""
