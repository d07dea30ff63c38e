"""`python -m lab.web.tty LAB WHO`: `lab shell` on the terminal that is this process's standard input, as its controlling one.

A process of its own, because only the leader of a new session can take a terminal, and the server has threads and must not fork by itself.
"""

from __future__ import annotations

import fcntl
import os
import sys
import termios

if __name__ == "__main__":
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.execv(sys.executable, [sys.executable, "-m", "lab", "shell", "--name", sys.argv[1], "--", sys.argv[2]])
