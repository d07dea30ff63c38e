"""Makes a plan real: the sandbox, Mininet nodes and links, netlink, and the one door to processes. Takes it all away again."""
