"""`python -m lab.master.apiserver`: see lab.master.apiserver.flags."""

import sys

from lab.master.apiserver import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
