"""`python -m lab.flannel`: flanneld."""

import sys

from lab.flannel.daemon import main

sys.exit(main(sys.argv[1:]))
