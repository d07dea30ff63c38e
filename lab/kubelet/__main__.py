"""`python -m lab.kubelet`: the kubelet of the node whose namespaces the calling process is in."""

import sys

from lab.kubelet.daemon import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
