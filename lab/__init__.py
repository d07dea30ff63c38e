"""A Kubernetes network on one Linux machine: real kernel, real daemons, no containers. Start at lab.cli or lab.cluster."""

__version__ = "0.1.0"
