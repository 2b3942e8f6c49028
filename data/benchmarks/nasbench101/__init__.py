"""NAS-Bench-101's files: official records and public rows, to and from tables."""
