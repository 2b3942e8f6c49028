"""What is made of tables and traces: statistics, landscape analyses, plots, report."""
