"""AnalogNAS-Bench's file, of the package analog-nasbench."""
