"""Spaces of graph networks, which only tables answer."""
