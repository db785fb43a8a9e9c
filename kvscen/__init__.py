"""kvscen: scenarios that read like the experiment, numbers that can be trusted."""

__version__ = "0.1.0"
