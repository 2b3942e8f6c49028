"""Data cards, which describe a table and its quality."""
