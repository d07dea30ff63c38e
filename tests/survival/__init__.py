"""What the lab survives, and what it does when it does not: kill -9, daemons that die under traffic, limits, strangers' input, other users.

The whole suite runs each test in a short form. `python -m tests.survival` runs them in full: 500 killed runs, 200 labs one after the other.
"""
