"""The report page about one or several comparisons."""
