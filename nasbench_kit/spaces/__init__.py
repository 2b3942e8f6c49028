"""What can be searched: one folder a family of search spaces."""
