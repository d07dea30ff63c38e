"""`python -m lab.master.scheduler`: kube-scheduler."""

import sys

from lab.master.scheduler.daemon import main

sys.exit(main(sys.argv[1:]))
