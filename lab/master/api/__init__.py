"""What the apiserver decides about objects, as pure functions: dicts in, dicts out, arguments never changed. No sockets, no store, no clock."""
