"""Searches that train one supernet and read architectures off it."""
