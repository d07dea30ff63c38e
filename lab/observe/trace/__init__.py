"""One packet's journey through the lab, and its reply's.

Pure: probe (what is sent), filters (how the kernel finds it), recording (all that was written down), rulelog (the rules it hit),
correlate (recording -> journey), reasons (why it was lost). Effects: taps, tracers, sender.
"""
