"""NAS-Bench-101's cell space; the modules that need torch are imported when they are used."""
