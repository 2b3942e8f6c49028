"""Style and kinds of plots that all figures share."""
