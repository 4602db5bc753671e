"""PgBouncer in transaction mode, in Debian's version and otherwise as it comes."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from faults.ports import free_port
from tests.support import debian

PROGRAM = Path("/usr/sbin/pgbouncer")

_CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server.port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users.txt
pool_mode = transaction
max_client_conn = 500
client_tls_sslmode = require
client_tls_cert_file = {server.certificate}
client_tls_key_file = {server.key}
server_tls_sslmode = require
{more}
"""


class PgBouncer:
    """A pooler before *server*, configured in *directory*; *more* are lines for its configuration."""

    def __init__(self, directory: Path, server: debian.Postgres, more: str = "") -> None:
        self._directory, self._server, self._more = directory, server, more
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self._server.url(debian.OWNER, self.address)

    def __enter__(self) -> Self:
        configuration, users = self._directory / "pgbouncer.ini", self._directory / "users.txt"
        configuration.write_text(
            _CONFIGURATION.format(
                server=self._server, port=self.port, directory=self._directory, more=self._more
            )
        )
        users.write_text(f'"{debian.OWNER}" "{debian.PASSWORD}"\n')
        for path in (configuration, users):
            debian.own(path)
        with (self._directory / "pgbouncer.log").open("wb") as log:
            self._process = debian.start([PROGRAM, configuration], log)
        debian.wait(self._process, self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            debian.end(self._process)
