"""What runs on the master node: etcd and the objects that live in it, endpoints of services, the scheduling of pods."""
