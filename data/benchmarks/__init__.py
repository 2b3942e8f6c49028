"""Readers of other people's benchmark files, one folder a benchmark."""
