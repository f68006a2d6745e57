"""Real servers of which one stands in for the other, and the sentinels that see to it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.storages import RedisServer, free_port
from tests.support.waiting import PATIENCE

NAME = "main"


class Sentinels:
    """A primary, a replica, and two sentinels: one of them is enough to decide."""

    def __init__(
        self, program: str, directory: Path, password: str = "", *, guarded: bool = False
    ) -> None:
        """Nothing runs yet.

        Args:
            program: `redis-server`.
            directory: for what they write.
            password: of the servers.
            guarded: whether sentinels have it, too.
        """
        self._guarded = guarded
        self._program = program
        self._directory = directory
        self._password = password
        self._servers: list[RedisServer] = []
        self._sentinels: list[subprocess.Popen[bytes]] = []
        self._ports: list[int] = []

    def start(self) -> None:
        """Start all, and wait until the replica could stand in."""
        options = (
            ("--requirepass", self._password, "--masterauth", self._password)
            if self._password
            else ()
        )
        self._add_server(*options)
        primary = self._servers[0].port
        self._add_server(*options, "--replicaof", f"127.0.0.1 {primary}")
        for number in range(2):
            self._add_sentinel(number, primary)
        self.await_replica()

    @property
    def address(self) -> str:
        """The first sentinel named is none."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *self._ports))
        whose = f":{self._password}@" if self._password else ""
        return f"redis+sentinel://{whose}{hosts}/{NAME}/1"

    @property
    def primary(self) -> RedisServer:
        """The server that the first sentinel takes for the primary."""
        with self._asked(self._ports[0]) as client:
            _, port = client.sentinel_get_master_addr_by_name(NAME)
        (found,) = [each for each in self._servers if each.port == int(port)]
        return found

    def fail_over(self) -> None:
        """Kill the primary, and wait until all sentinels name another."""
        killed = self.primary
        killed.stop()
        deadline = time.monotonic() + PATIENCE
        for port in self._ports:
            with self._asked(port) as client:
                while int(client.sentinel_get_master_addr_by_name(NAME)[1]) == killed.port:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)

    def bring_back(self) -> None:
        """Start the server that was killed, as a replica: as a primary it could be chosen again."""
        primary = self.primary.port
        for server in self._servers:
            if server.process.poll() is not None:
                server.start("--replicaof", f"127.0.0.1 {primary}")
        self.await_replica()

    def await_replica(self) -> None:
        """Wait until the replica has all that the primary has, and sentinels know it."""
        deadline = time.monotonic() + PATIENCE
        while not self._is_replicated():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
            sentinel.wait()
        for server in self._servers:
            server.stop()

    def _add_server(self, *options: str) -> None:
        directory = self._directory / f"server{len(self._servers)}"
        directory.mkdir()
        self._servers.append(RedisServer(self._program, directory, *options))

    def _add_sentinel(self, number: int, primary: int) -> None:
        port = free_port()
        file = self._directory / f"sentinel{number}.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._directory}\nlogfile sentinel{number}.log\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary} 1\n"
            # A machine so busy that one is not heard for this long would lose what it wrote.
            f"sentinel down-after-milliseconds {NAME} 2000\n"
            f"sentinel failover-timeout {NAME} 3000\n"
            + (f"sentinel auth-pass {NAME} {self._password}\n" if self._password else "")
            + (f"requirepass {self._password}\n" if self._guarded else "")
        )
        self._ports.append(port)
        self._sentinels.append(subprocess.Popen([self._program, file, "--sentinel"]))

    def _is_replicated(self) -> bool:
        try:
            for port in self._ports:
                with self._asked(port) as client:
                    (known,) = client.sentinel_slaves(NAME)
                if known["is_disconnected"] or known["is_sdown"] or known["is_odown"]:
                    return False
            found = {}
            for server in self._servers:
                with self._asked(server.port, password=self._password or None) as client:
                    said = client.info("replication")
                found[said["role"]] = said
            primary, replica = found["master"], found["slave"]
        except (KeyError, ValueError, redis.exceptions.RedisError):
            return False
        return bool(
            replica["master_link_status"] == "up"
            and replica["master_repl_offset"] == primary["master_repl_offset"]
        )

    def _asked(self, port: int, password: str | None = None) -> redis.Redis:
        if self._guarded:
            password = self._password
        return redis.Redis(port=port, password=password, retry=Retry(NoBackoff(), 0))
