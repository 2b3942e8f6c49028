"""NATS-Bench (Dong et al., 2021): its files, for topologies and for sizes."""
