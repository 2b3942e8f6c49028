"""Building a table: training every cell of a space, resumable at any moment."""
