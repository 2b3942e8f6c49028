"""Style and forms that all figures share."""
