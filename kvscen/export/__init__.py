"""Results in the form of other programs, from the tables of a run."""
