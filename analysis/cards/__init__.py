"""Data cards: what a table is and how good it is."""
