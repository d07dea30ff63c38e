"""`python -m lab.web LAB PORT LANGUAGE DESCRIPTOR`: the server of a lab's page. `lab web` starts it.

To DESCRIPTOR one line of JSON is written: {"url": LINK}, or {"error": TEXT, "status": NUMBER}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from lab.cluster import control
from lab.errors import LabError
from lab.fabric import registry


def main(name: str, port: int, language: str, descriptor: int) -> int:
    """Serve until the lab ends."""
    from lab.web import watch

    def tell(words: dict[str, object]) -> None:
        with os.fdopen(descriptor, "w", encoding="utf-8") as channel:
            channel.write(json.dumps(words) + "\n")

    try:
        entry = registry.pick(name)
        _, descriptors = control.ask(entry.socket, {"verb": "enter", "who": ""})
        user = descriptors[control.KINDS.index("user")]
        ours = os.fstat(user).st_ino == Path("/proc/self/ns/user").stat().st_ino
        _, door = watch.start([] if ours else [user])
        watch.close(descriptors)

        import asyncio

        from lab.web.serve import serve

        asyncio.new_event_loop().run_until_complete(serve(entry, port, language, door, tell))
    except LabError as error:
        tell({"error": str(error), "status": error.status})
        return error.status
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
