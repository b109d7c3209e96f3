"""Work on many machines: pieces of one work on the devices of a Ray cluster (docs/cluster.md)."""
