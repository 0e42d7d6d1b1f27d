"""A restore, really done: PostgreSQL with a base backup and archived log, an accident, and recovery to the moment before it; rows are counted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import subprocess
import time
from collections.abc import Iterator

import pytest
from conftest import ROOT, skip_loudly
from edge import free_port

USER = "thalweg"


def programs() -> pathlib.Path:
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        skip_loudly("postgresql", "no PostgreSQL is installed")
    return found[-1].parent


class Server:
    """PostgreSQL in a folder; it refuses to run as root, which lends it to `postgres`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.data, self.archive, self.port = folder / "data", folder / "archive", free_port()
        self.lend: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            for parent in folder.parents:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
            self.lend = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]

    def do(self, name: str, *words: object) -> str:
        command = [*self.lend, str(programs() / name), *map(str, words)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def sql(self, text: str) -> str:
        return self.do("psql", "-h", "127.0.0.1", "-p", self.port, "-U", USER, "-d", "postgres", "-qAtc", text)

    @contextlib.contextmanager
    def running(self, **settings: str) -> Iterator[None]:
        told = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""} | settings
        words = [word for key, value in told.items() for word in ("-c", f"{key}={value}")]
        command = [*self.lend, str(programs() / "postgres"), "-D", str(self.data), *words]
        with open(self.data.parent / "log", "ab") as log, subprocess.Popen(command, cwd="/", stdout=log, stderr=log) as process:
            try:
                ready = "SELECT NOT pg_is_in_recovery()"
                for _ in range(600):
                    with contextlib.suppress(AssertionError):
                        if self.sql(ready) == "t":
                            break
                    assert process.poll() is None, (self.data.parent / "log").read_text()[-2000:]
                    time.sleep(0.1)
                yield
            finally:
                process.terminate()
                process.wait(60)


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Server:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder)
    subprocess.run([*server.lend, "mkdir", str(server.archive)], check=True)
    server.do("initdb", "-D", server.data, "-U", USER, "-A", "trust", "--no-sync")
    return server


def test_recovery_to_a_point_in_time(server, tmp_path, counted, record_property) -> None:
    """every row up to the moment before the accident is back, none of the accident's work is; a damaged backup is noticed"""
    archive = {"archive_mode": "on", "archive_command": f"cp %p {server.archive}/%f", "wal_level": "replica"}
    backup = server.data.parent / "backup"
    with server.running(**archive):
        server.sql("CREATE TABLE notes (id serial PRIMARY KEY, text text)")
        server.sql("INSERT INTO notes (text) SELECT 'before the backup' FROM generate_series(1, 1000)")
        server.do("pg_basebackup", "-D", backup, "-h", "127.0.0.1", "-p", server.port, "-U", USER, "--checkpoint=fast")
        server.sql("INSERT INTO notes (text) SELECT 'after the backup' FROM generate_series(1, 500)")
        moment = server.sql("SELECT clock_timestamp()")
        time.sleep(0.2)
        server.sql("DELETE FROM notes WHERE id % 2 = 0")
        server.sql("INSERT INTO notes (text) VALUES ('the accident')")
        server.sql("SELECT pg_switch_wal()")
        assert server.sql("SELECT count(*) FROM notes") == "751"
    server.do("pg_verifybackup", backup)
    began = time.monotonic()
    server.data = backup
    subprocess.run([*server.lend, "touch", str(backup / "recovery.signal")], check=True)
    wanted = {"recovery_target_time": moment, "recovery_target_action": "promote", "restore_command": f"cp {server.archive}/%f %p"}
    with server.running(**wanted):
        assert server.sql("SELECT count(*), count(*) FILTER (WHERE text = 'the accident') FROM notes") == "1500|0"
        assert server.sql("SELECT count(*) FROM notes WHERE text = 'after the backup'") == "500"
        server.sql("INSERT INTO notes (text) VALUES ('it takes writes again')")
    record_property("counted", f"{time.monotonic() - began:.1f} s to recover")
    counted("rows", 1500)
    with open(backup / "PG_VERSION", "a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(AssertionError, match="PG_VERSION"):
        server.do("pg_verifybackup", backup)


def test_the_runbook_has_each_store(counted) -> None:
    """RUNBOOK.md says of each store what may be lost, for how long, who promotes, the command, and what the edge does meanwhile"""
    section = (ROOT / "RUNBOOK.md").read_text().split("\n## A store is lost\n")[1].split("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    stores = {cells[0].strip(): cells for cells in table}
    assert set(stores) == {"RDS", "Cloud SQL", "Azure PostgreSQL", "Valkey, Redis", "OpenSearch", "images", "Terraform's state", "etcd (kubeadm)", "Git", "DNS"}
    for name, cells in stores.items():
        assert len(cells) == 6 and all(cell.strip() for cell in cells), name
    counted("stores", len(stores))
