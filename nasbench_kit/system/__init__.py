"""Running things and keeping files: nothing here knows of architectures."""
