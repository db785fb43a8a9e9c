"""`nixlbench`: a tool driver that runs NIXL's benchmark, and says its command lines without running it."""
