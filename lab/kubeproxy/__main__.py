"""`python -m lab.kubeproxy`: kube-proxy."""

import sys

from lab.kubeproxy.daemon import main

sys.exit(main(sys.argv[1:]))
