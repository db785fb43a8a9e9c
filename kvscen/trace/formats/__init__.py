"""One module for a kind of file. Each reads a Source into record batches of the canonical columns."""
