"""Random and mutated texts through lint and fmt: `python -m tests.fuzz --help`, or `make fuzz`."""
