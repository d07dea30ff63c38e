"""`python -m lab`: the same as the console script `lab`."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # as `console` does it, but before its imports

from lab.cli.main import console  # noqa: E402

console()
