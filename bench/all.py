"""Runs every bench with sizes that end within minutes, and writes what each of them said as JSON.

    python bench/all.py [--out DIRECTORY] [--only NAME,NAME] [--large] [--list]

One after another: two at a time would measure each other. Of a bench that fails the directory has what it said until then and what was wrong
(NAME.err), and the exit status is 1. --large takes the sizes of docs/reference/benchmarks.md. Needs root.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 3600.0
"""Seconds that one bench may take."""


@dataclass(frozen=True)
class Bench:
    """A bench's module; its flags for a quick look and for --large."""

    module: str
    quick: tuple[str, ...] = ()
    large: tuple[str, ...] = ()


BENCHES = {
    "run": Bench("run", ("--runs", "3")),
    "suite": Bench("suite", ("--runs", "1"), ("--runs", "10")),
    "pod": Bench("pod"),
    "scale": Bench("scale", ("--nodes", "10", "--services", "20")),
    "namespaces": Bench("namespaces", ("--counts", "10,100"), ("--mininet-most", "1000")),
    "apiserver": Bench("apiserver"),
    "controllers": Bench("controllers"),
    "kubeproxy": Bench("kubeproxy", ("--quick",), ("--rounds", "1")),
    "proxy-modes": Bench("proxy_modes"),
    "flannel": Bench("flannel_datapath"),
}


def run(name: str, bench: Bench, large: bool, out: Path) -> bool:
    """Run one bench and keep what it says; whether it came to its end."""
    flags = [*(bench.large if large else bench.quick), "--json"]
    begun = time.monotonic()
    try:
        argv = [sys.executable, "-m", f"bench.{bench.module}", *flags]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=HERE.parent)
        text, trouble, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        text, trouble, status = os.fsdecode(late.stdout or b""), f"not done after {LIMIT:g} s", 1
    print(f"{name:12} {time.monotonic() - begun:7.1f} s  {'done' if status == 0 else f'failed with status {status}'}", flush=True)
    (out / f"{name}.json").write_text(text)
    if status:
        (out / f"{name}.err").write_text(trouble)
        print("\n".join(f"    {line}" for line in trouble.splitlines()[-5:]), file=sys.stderr)
    return status == 0


def machine() -> dict[str, object]:
    """What figures depend on most."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    load = os.getloadavg()[0]
    return {"cores": os.cpu_count(), "memory_mib": memory, "kernel": platform.release(), "python": platform.python_version(), "load_before": load}


def main() -> int:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--only", default="", help="names with commas")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--list", action="store_true", help="print the names")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"no bench is named {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if args.list:
        print("\n".join(names))
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "machine.json").write_text(json.dumps(machine(), indent=2) + "\n")
    return 0 if all([run(name, BENCHES[name], args.large, args.out) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
