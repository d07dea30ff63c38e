"""`python -m lab.master.controllers`: kube-controller-manager."""

import sys

from lab.master.controllers.daemon import main

sys.exit(main(sys.argv[1:]))
