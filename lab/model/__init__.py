"""What people declare, as frozen data: the topology and the Kubernetes objects. Pure: text in, data or InputError out."""
