"""`python -m lab.cloud`: a cloud by hand."""

import sys

from lab.cloud.daemon import main

sys.exit(main(sys.argv[1:]))
