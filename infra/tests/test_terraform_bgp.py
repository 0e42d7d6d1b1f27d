"""The machines that announce the edge's address: what BIRD, the firewall, cloud-init and the edge say of the texts that
Terraform writes for them, and what a real router sees when /readyz says no."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import hcl2
import pytest
import yaml
from conftest import ROOT, find_tool, run, skip_loudly
from edge import find_edge
from terraform import TERRAFORM, planned

MODULE = TERRAFORM / "modules" / "edge" / "bgp"
FOLLOWER = MODULE / "files" / "announce.py"


def told(**changes) -> dict:
    """What the module's example gives it, with changes."""
    with (MODULE / "examples" / "basic" / "main.tf").open() as text:
        call = hcl2.load(text)["module"][0]["edge"]
    given = {key: value[0] for key, value in call.items() if not key.startswith("__") and key != "source"}
    return given | changes


def written(**changes) -> tuple[dict[str, str], str]:
    """The files of a machine by path, and its user data."""
    pairs = (f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in told(**changes).items())
    outputs = planned(MODULE, *pairs).outputs
    return outputs["files"]["value"], outputs["user_data"]["value"]


@pytest.fixture(scope="module")
def machine() -> tuple[dict[str, str], str]:
    return written()


# --- texts -----------------------------------------------------------------------------------------------------------


def test_bird_accepts_its_config(machine, tmp_path) -> None:
    """BIRD accepts the config: both families, BFD, communities, multihop; a session's password comes from a file"""
    config = tmp_path / "bird.conf"
    text = machine[0]["/etc/bird/bird.conf"]
    config.write_text(text)
    done = run(find_tool("bird"), "-p", "-c", config)
    assert done.returncode == 0, done.stderr
    assert "protocol bgp upstream6" in text and "bfd on" in text and "bgp_community.add((64496, 100))" in text
    secret = tmp_path / "secret-upstream4.conf"
    config.write_text(text.replace("/etc/bird/secret-", f"{tmp_path}/secret-"))
    secret.write_text('password "of the session";\n')
    assert run(find_tool("bird"), "-p", "-c", config).returncode == 0
    secret.write_text("no statement of BIRD\n")
    assert run(find_tool("bird"), "-p", "-c", config).returncode != 0, "the file is not read"


def test_bird_takes_no_route_and_keeps_none() -> None:
    """no session imports a route, and BIRD writes none into the kernel"""
    template = (MODULE / "files" / "bird.conf.tftpl").read_text()
    assert "import none;" in template and "protocol kernel {" not in template
    assert template.index("disabled;") < template.index("route ${of.prefix} unreachable;")


def test_firewall_is_accepted(machine, tmp_path) -> None:
    """nftables accepts the firewall; clients reach 443 of the announced addresses and nothing else"""
    text = machine[0]["/etc/nftables.conf"]
    rules = [line.strip() for line in text.splitlines() if line.strip().endswith("accept") and "dport" in line]
    to_all = [rule for rule in rules if "saddr" not in rule]
    assert to_all == ["ip daddr 198.51.100.80 tcp dport 443 accept", "ip6 daddr 2001:db8:100::80 tcp dport 443 accept"]
    assert "hook input priority filter; policy drop;" in text
    if os.geteuid() != 0:
        skip_loudly("nft", "only root can have nftables check a firewall")
    (tmp_path / "nftables.conf").write_text(text)
    done = run(find_tool("nft"), "--check", "--file", tmp_path / "nftables.conf")
    assert done.returncode == 0, done.stderr


def test_the_edge_accepts_its_config(machine, tmp_path) -> None:
    """the edge accepts the example's thalweg.toml, and drains longer than the follower takes to notice"""
    (tmp_path / "thalweg.toml").write_text(machine[0]["/etc/thalweg/thalweg.toml"])
    done = run(find_edge(), "check", "--config", tmp_path / "thalweg.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'drain_delay = "5s"' in machine[0]["/etc/thalweg/thalweg.toml"]
    assert "--interval-ms 500 --timeout-ms 500 --fall 2" in machine[0]["/etc/systemd/system/thalweg-announce.service"]


def schema() -> dict:
    """cloud-init's own schema, out of Debian's package."""
    file = ROOT / ".venv-infra" / "cloud-init.json"
    if not file.exists() or not file.stat().st_size:
        skip_loudly("cloud-init-schema", "scripts/setup-infra.sh could not download Debian's cloud-init")
    return json.loads(file.read_text())


def test_cloud_init_accepts_the_user_data(machine) -> None:
    """the user data is valid by cloud-init's schema, and writes the files that it should"""
    import jsonschema

    files, text = machine
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert {one["path"]: one["content"] for one in data["write_files"]} == files
    for path, content in files.items():
        assert content.startswith("#") or path.endswith(".toml"), f"{path} opens without its purpose"
    draft = jsonschema.Draft4Validator(schema())
    assert not [error.message for error in draft.iter_errors(data)]
    assert [
        error for error in draft.iter_errors(data | {"write_files": [{"content": "no path"}]})
    ], "the schema notices nothing"


def test_first_start_is_a_valid_script(machine, tmp_path) -> None:
    """the commands of the first start are a valid script that stops at the first failure"""
    ((shell, options, script),) = yaml.safe_load(machine[1])["runcmd"]
    assert (shell, options) == ("sh", "-euc")
    (tmp_path / "first-start.sh").write_text(f"#!/bin/sh\nset -eu\n{script}\n")
    done = run(find_tool("shellcheck"), tmp_path / "first-start.sh")
    assert done.returncode == 0, done.stdout
    # A stand-in for every command: the sum of the package is wrong, so nothing after it may run.
    for command in ("systemctl", "curl", "apt-get", "thalweg", "bird"):
        (tmp_path / command).write_text(f'#!/bin/sh\necho "{command} $*" >>"{tmp_path}/ran"\n')
        (tmp_path / command).chmod(0o755)
    done = run("sh", "-euc", script, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode != 0
    assert (tmp_path / "ran").read_text().splitlines()[-1].startswith("curl "), "an unchecked package goes on"


def test_units_are_accepted(machine, tmp_path) -> None:
    """systemd accepts the units; whatever ends the follower withholds the address"""
    for path, content in machine[0].items():
        if path.endswith(".service"):
            # The programs are not on this machine; that they exist is not asked here.
            (tmp_path / pathlib.Path(path).name).write_text(content)
            done = run(
                find_tool("systemd-analyze"), "verify", "--man=no", "--recursive-errors=no", tmp_path / pathlib.Path(path).name
            )
            wrong = [
                line for line in done.stderr.splitlines() if pathlib.Path(path).name in line and "not executable" not in line
            ]
            assert not wrong, "\n".join(wrong)
    unit = machine[0]["/etc/systemd/system/thalweg-announce.service"]
    assert "ExecStopPost=-/usr/sbin/birdc disable anycast4" in unit and "WatchdogSec=" in unit


# --- the follower ------------------------------------------------------------------------------------------------------


def follower():
    spec = importlib.util.spec_from_file_location("announce", FOLLOWER)
    module = importlib.util.module_from_spec(spec)
    sys.modules["announce"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("++++", "...A"),  # announced after 3 s of yes
        ("++-+++", "......"),  # a break begins the wait anew
        ("++++-+", "...AAA"),  # one no is borne
        ("++++--++", "...AA..."),  # the second in a row is not
        ("++++--++++", "...AA....A"),  # and the return waits again
        ("----", "...."),
    ],
)
def test_judge(answers: str, expected: str) -> None:
    """the announcement begins after a wait without a break and ends with `fall` noes in a row"""
    judge = follower().Judge(fall=2, announce_after_s=3)
    seen = [judge.seen(answer == "+", float(second)) for second, answer in enumerate(answers)]
    assert "".join("A" if announced else "." for announced in seen) == expected


# --- a real router -------------------------------------------------------------------------------------------------------

ROUTER = """# The provider's side of the session.
log stderr all;
router id 10.9.1.1;
protocol device { scan time 1; }
protocol bgp edge {
    local 10.9.1.1 as 64496;
    neighbor 10.9.1.2 as 64500;
    passive yes;
    connect delay time 1;
    error wait time 1, 2;
    ipv4 { import where net = 198.51.100.0/24; export none; };
}
"""
READYZ = """
import http.server, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path(sys.argv[1]).exists() else 503)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9900), Handler).serve_forever()
"""


@contextlib.contextmanager
def started(*command: object, log: pathlib.Path) -> Iterator[subprocess.Popen]:
    with log.open("ab") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def wired() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable: router and edge."""
    router, edge = f"router{os.getpid()}", f"edge{os.getpid()}"
    try:
        for namespace in (router, edge):
            assert run("ip", "netns", "add", namespace).returncode == 0
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", router, "link", "add", "ve0", "type", "veth", "peer", "name", "ve0", "netns", edge)
        for namespace, address in ((router, "10.9.1.1/24"), (edge, "10.9.1.2/24")):
            run("ip", "-n", namespace, "address", "add", address, "dev", "ve0")
            assert run("ip", "-n", namespace, "link", "set", "ve0", "up").returncode == 0
        yield router, edge
    finally:
        for namespace in (router, edge):
            run("ip", "netns", "delete", namespace)


def until(true: Callable[[], bool], seconds: float, what: str, log: pathlib.Path) -> float:
    """Waits until something is true; how long it took."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds} s\n{log.read_text()}"
        time.sleep(0.02)
    return time.monotonic() - start


@pytest.mark.slow
def test_a_router_sees_the_address_only_while_the_edge_is_ready(tmp_path, record_property) -> None:
    """a real router: the route comes after the wait, goes when /readyz says no, returns after BIRD's death, goes with the follower"""
    if os.geteuid() != 0:
        skip_loudly("network namespaces", "only root can make them")
    bird, birdc = find_tool("bird"), find_tool("birdc")
    files, _ = written(
        router_id="10.9.1.2",
        anycast={"ipv4": {"prefix": "198.51.100.0/24", "address": "198.51.100.80"}},
        neighbors={"upstream": {"address": "10.9.1.1", "source": "10.9.1.2", "as_number": 64496}},
    )
    log, flag = tmp_path / "log", tmp_path / "ready"
    (tmp_path / "edge.conf").write_text(files["/etc/bird/bird.conf"].replace("log syslog all;", "log stderr all;"))
    (tmp_path / "router.conf").write_text(ROUTER)

    def ask(side: str, question: str) -> str:
        return run(birdc, "-s", tmp_path / f"{side}.ctl", *question.split()).stdout

    def routed() -> bool:
        return "198.51.100.0/24" in ask("router", "show route")

    def speaker(namespace: str, side: str) -> list[object]:
        ctl, pid = tmp_path / f"{side}.ctl", tmp_path / f"{side}.pid"
        return ["ip", "netns", "exec", namespace, bird, "-f", "-c", tmp_path / f"{side}.conf", "-s", ctl, "-P", pid]

    options = [
        "--control",
        tmp_path / "edge.ctl",
        "--interval-ms",
        "100",
        "--timeout-ms",
        "200",
        "--announce-after-s",
        "2",
        "anycast4",
    ]
    with contextlib.ExitStack() as stack:
        router, edge = stack.enter_context(wired())
        stack.enter_context(started(*speaker(router, "router"), log=log))
        stack.enter_context(started("ip", "netns", "exec", edge, sys.executable, "-c", READYZ, flag, log=log))
        with started(*speaker(edge, "edge"), log=log) as first:
            follow = stack.enter_context(
                started("ip", "netns", "exec", edge, sys.executable, "-I", FOLLOWER, *options, log=log)
            )
            until(lambda: "Established" in ask("edge", "show protocols upstream"), 20, "session", log)
            # Long enough for a wrong announcement to arrive: it would take milliseconds.
            time.sleep(1)
            assert not routed(), "announced although /readyz says no"
            flag.touch()
            waited = until(routed, 10, "announcement", log)
            assert waited > 1.5, f"announced after {waited:.1f} s, without waiting"
            flag.unlink()
            gone = until(lambda: not routed(), 3, "withdrawal", log)
            flag.touch()
            until(routed, 10, "return", log)
            first.send_signal(signal.SIGKILL)
            first.wait()
            until(lambda: not routed(), 15, "withdrawal after BIRD's death", log)
        with started(*speaker(edge, "edge"), log=log):
            until(routed, 20, "return after BIRD's death", log)
            follow.terminate()
            until(lambda: not routed(), 3, "withdrawal at the follower's end", log)
            assert follow.wait(timeout=5) == 0, log.read_text()
    record_property("counted", f"withdrawn {gone * 1000:.0f} ms after /readyz said no")
