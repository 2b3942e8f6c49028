"""Cells whose operations stand on edges; a node is the sum of the edges that end in it."""
