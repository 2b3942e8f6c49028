"""Layer sequences: networks whose layers follow each other, an operation chosen for each."""
