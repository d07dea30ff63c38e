"""`python -m lab`: the same as the console script `lab`."""

import sys

from lab.cli.main import main

sys.exit(main(sys.argv[1:]))
