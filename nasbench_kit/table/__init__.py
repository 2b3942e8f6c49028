"""Stored answers: a table of trained architectures, its file, a surrogate's noise."""

from nasbench_kit.table.table import METRICS, SOURCES, Checkpoint, Column, Table, proportional

__all__ = ["METRICS", "SOURCES", "Checkpoint", "Column", "Table", "proportional"]
