"""Statistics of comparisons: curves, tests, intervals, ranks."""
