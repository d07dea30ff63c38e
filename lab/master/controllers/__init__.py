"""The controllers of the master: loops that bring what is there nearer to what objects ask for. `python -m lab.master.controllers`."""
