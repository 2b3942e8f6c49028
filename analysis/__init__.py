"""Statistics, landscape analyses, plots and reports of tables and traces."""
