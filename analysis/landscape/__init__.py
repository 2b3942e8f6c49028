"""Analyses of a table's landscape and of its measurements."""
