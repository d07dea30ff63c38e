"""flannel: who owns which subnet (leases in etcd) and how packets travel between them (one module a backend)."""
