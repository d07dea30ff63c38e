"""A running cluster: boots the machines, daemons and pods of a topology, and is the facade that scenario authors hold."""
