"""What runs the pods of a node: the kubelet, which follows the apiserver, and the container runtime, which it drives."""
