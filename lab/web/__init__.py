"""The live page of a lab: who may see it (`access`), what changes on it (`live`), and the small server and watcher that apply this.

The server runs in the host's namespaces and talks to the lab over its control socket, as `lab exec` does.
"""
