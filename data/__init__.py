"""Where numbers come from: readers, downloads, image sets, table building, the shipped tables."""
