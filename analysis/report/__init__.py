"""The page about one or several comparisons."""
