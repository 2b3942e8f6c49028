"""NAS-Bench-Macro's file."""
