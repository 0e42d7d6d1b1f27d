"""The three machines of modules/kubeadm: what each is told at its first boot, and a bench on which their scripts run.

On the bench, commands that would change a machine or reach Google are stand-ins that write down how they were called;
jq, openssl, tar and base64 are real.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
from typing import Any

import yaml
from conftest import run
from terraform import TERRAFORM, planned

MODULE = TERRAFORM / "modules" / "kubeadm"
FILES = MODULE / "files"
FINGERPRINT = "DE15B14486CD377B9E876E1A234654DA9A296436"

# Says how it was called, keeps its standard input when it has one, and answers from the bench.
STAND_IN = """#!/usr/bin/env bash
name=${0##*/}
printf '%s %s\\n' "$name" "$*" >>"$BENCH/calls"
[[ -e $BENCH/$name.sh ]] && source "$BENCH/$name.sh"
exit 0
"""
CURL = """
for last in "$@"; do :; done
case "$last" in
*/service-accounts/default/token) echo '{"access_token":"LENT"}'; exit 0 ;;
esac
config=; upload=; body=
while (($#)); do
    case "$1" in
    --config) config=$(cat "$2"); shift ;;
    --upload-file) cp "$2" "$BENCH/uploaded"; upload=1; shift ;;
    --data) body=1; shift ;;
    --output) echo key >"$2"; shift ;;
    esac
    shift
done
[[ -n $body ]] && cat >>"$BENCH/bodies"
[[ $last == *googleapis* && $config != *"Bearer LENT"* ]] && { echo "401" >&2; exit 22; }
answer=$BENCH/answers/$(basename "${last//[?]*/}")
[[ -e $answer ]] && cat "$answer" && exit 0
[[ -n $upload || $last == *Release.key || $last == *:destroy ]] && exit 0
echo "404 $last" >&2; exit 22
"""


@functools.cache
def machines() -> dict[str, str]:
    """What the example's machines are told (user-data), by machine."""
    instances = planned(MODULE / "examples" / "basic").all("google_compute_instance")
    return {one.values["name"].removeprefix("kubeadm-"): one.values["metadata"]["user-data"] for one in instances}


def told(machine: str) -> dict[str, Any]:
    return yaml.safe_load(machines()[machine])


def files(machine: str) -> dict[str, str]:
    """The files that a machine is given, by path."""
    return {file["path"]: file["content"] for file in told(machine)["write_files"]}


class Bench:
    """A folder that stands for a machine."""

    def __init__(self, place: pathlib.Path) -> None:
        self.place = place
        for folder in ("bin", "answers", "kubernetes/pki", "config/addons", "data"):
            (place / folder).mkdir(parents=True)
        for name in (
            "apt-get",
            "apt-mark",
            "containerd",
            "crictl",
            "ctr",
            "curl",
            "gpg",
            "kubeadm",
            "kubectl",
            "modprobe",
            "sysctl",
            "systemctl",
        ):
            (place / "bin" / name).write_text(STAND_IN)
            (place / "bin" / name).chmod(0o755)
        self.behave("curl", CURL)
        self.behave("containerd", "echo containerd github.com/containerd/containerd/v2 2.2.1 abc")
        self.behave("gpg", f'[[ $4 == --output ]] && touch "$5"; echo fpr:::::::::{FINGERPRINT}:')
        settings = files("control-plane")["/etc/kubeadm/settings"]
        (place / "settings").write_text(settings)
        (place / "calls").touch()

    def behave(self, command: str, script: str) -> None:
        (self.place / f"{command}.sh").write_text(script)

    def answer(self, last: str, value: Any) -> None:
        """What Google answers where the URL ends with `last`."""
        (self.place / "answers" / last).write_text(json.dumps(value))

    def run(self, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        there = {
            "BENCH": "", "LIBRARY": str(FILES), "SETTINGS": "settings", "STATE": "state", "KUBERNETES": "kubernetes",
            "CONFIG": "config", "DATA": "data", "KEYRING": "keyrings/kubernetes.gpg", "SOURCES": "kubernetes.list",
        }  # fmt: skip
        paths = {key: value if value.startswith("/") else str(self.place / value) for key, value in there.items()}
        return run(
            FILES / script,
            *arguments,
            PAUSE="0",
            cwd=self.place,
            PATH=f"{self.place / 'bin'}:{os.environ['PATH']}",
            **paths,
        )

    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()

    def bodies(self) -> str:
        return (self.place / "bodies").read_text()
