"""The scheduler: a node for every pod that has none. `python -m lab.master.scheduler`."""
