"""Conformance suites for plug-ins, and made-up tables to run them on. Needs pytest."""
