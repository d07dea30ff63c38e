"""The clouds that flannel's aws-vpc and gce backends run in: their APIs, in the router's namespace, and a router that obeys them."""
