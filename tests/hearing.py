"""How a test starts a program that it will send a signal to."""

from __future__ import annotations

HEARING = ("env", "--default-signal=HUP,INT,QUIT,TERM")
"""Put before a command: it hears every signal, also when the tests were started by nohup, whose children ignore SIGHUP. env(1)."""
