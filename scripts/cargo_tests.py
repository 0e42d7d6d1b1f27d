"""Builds and runs every test of the workspace, several test programs at a time.

Most scenarios wait more than they compute, so programs run LANES at a time, the slow ones first. Those that load the
whole machine come last, one by one. What a program prints is shown when it ends. Exits 1 if anything failed.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LANES = 3

# They put load on real regions and judge times.
APART = ("simulation", "chaos", "regions", "drills", "capacity")

# The rest of a lane should not wait for one of these that began last.
SLOW_FIRST = ("rooms", "cockpit", "fleet", "failback", "hedging", "fleet_announce", "upgrade")

CARGO = ["cargo", "test", "--workspace", "--locked"]


def programs():
    """The test programs, built: (name, path, folder of the package)."""
    building = [*CARGO, "--no-run", "--message-format=json-render-diagnostics"]
    built = subprocess.run(building, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode:
        sys.exit("cargo_tests: the tests do not build")
    messages = map(json.loads, built.stdout.splitlines())
    made = [m for m in messages if m.get("executable") and m.get("profile", {}).get("test")]
    return [(m["target"]["name"], m["executable"], Path(m["manifest_path"]).parent) for m in made]


def run(program):
    """Runs one program; (name, whether it passed)."""
    name, path, folder = program
    began = time.monotonic()
    environment = os.environ | {"CARGO_MANIFEST_DIR": str(folder)}
    ended = subprocess.run(
        [path], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    took = time.monotonic() - began
    # One write: the lanes print at the same time.
    sys.stdout.write(f"     Running {name} ({took:.1f} s)\n{ended.stdout}\n")
    sys.stdout.flush()
    return name, ended.returncode == 0


def main():
    found = programs()
    apart = [program for program in found if program[0] in APART]
    wide = [program for program in found if program[0] not in APART]
    wide.sort(key=lambda program: program[0] not in SLOW_FIRST)
    with ThreadPoolExecutor(LANES) as lanes:
        results = list(lanes.map(run, wide))
    results += [run(program) for program in apart]
    failed = [name for name, passed in results if not passed]
    if subprocess.run([*CARGO, "--doc", "--quiet"], check=False).returncode:
        failed.append("doc tests")
    if failed:
        sys.exit(f"cargo_tests: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
