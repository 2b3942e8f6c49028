"""NAS-Bench-Graph's files, of the package nas-bench-graph."""
