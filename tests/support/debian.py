"""Postgres as Debian packages it: JIT, TLS, scram, and a role that owns its databases and nothing else."""

import ipaddress
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from faults.ports import free_port
from postback.lifeline import die_with_parent
from tests.support.processes import eventually

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
ACCOUNT = "postgres"
SUPERUSER, OWNER = "postgres", "app"
#: of every role
PASSWORD = "made-up"
#: seconds for a server to accept connections, and to stop
PATIENCE = 60.0


class Missing(Exception):
    """The distribution's package is not installed; the message says which."""


class Postgres:
    """A server in *directory*, which belongs to the account that runs it from then on."""

    def __init__(self, directory: Path, settings: Mapping[str, str] = {}) -> None:
        self.directory, self.port = directory, free_port()
        self.certificate, self.authority = directory / "server.pem", directory / "ca.pem"
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": str(self.certificate),
            "ssl_key_file": str(self.key),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> Path:
        return self.certificate.with_suffix(".key")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, role: str, address: str = "") -> str:
        """The ``postgres`` database for *role*, over TLS with a certificate that is checked."""
        checked = f"sslmode=verify-full&sslrootcert={self.authority}"
        return f"postgresql://{role}:{PASSWORD}@{address or self.address}/postgres?{checked}"

    def __enter__(self) -> Self:
        certify(self.authority, self.certificate, self.key)
        password = self.directory / "password"
        password.write_text(PASSWORD)
        own(self.directory)
        run(
            PROGRAMS / "initdb", "--pgdata", self._data, "--username", SUPERUSER, "--pwfile", password,
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        (self._data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "postgres.log").open("wb") as log:
            self._process = start([PROGRAMS / "postgres", "-D", self._data, *options], log)
        wait(self._process, self.port)
        try:
            self._psql(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'")
        except subprocess.CalledProcessError:
            end(self._process)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            end(self._process)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _psql(self, statement: str) -> None:
        run(PROGRAMS / "psql", "--quiet", "--no-psqlrc", "--command", statement, self.url(SUPERUSER))


def check(program: Path, package: str) -> None:
    """Raises ``Missing`` where *program* of Debian's *package* is not installed."""
    if not program.exists():
        raise Missing(f"{program} is missing; install Debian's package: apt-get install {package}")


def run(*command: str | Path) -> None:
    """Runs *command* as the servers' account. Raises ``CalledProcessError`` with what it said."""
    subprocess.run(  # noqa: S603
        command, check=True, capture_output=True, cwd="/", env=_environment(), **_account()
    )


def start(command: Sequence[str | Path], log: Any) -> subprocess.Popen[bytes]:
    """Starts *command* as the servers' account; it ends with this process."""
    return subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(),
        preexec_fn=die_with_parent(signal.SIGINT), **_account(),
    )  # fmt: skip


def wait(process: subprocess.Popen[bytes], port: int) -> None:
    """Returns when *process* accepts connections on *port*. Raises ``RuntimeError``."""
    ready = [str(PROGRAMS / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    if not eventually(lambda: process.poll() is not None or _succeeds(ready), PATIENCE) or process.poll():
        end(process)
        raise RuntimeError(f"no server came up on port {port}; see the log beside its configuration")


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603


def end(process: subprocess.Popen[bytes]) -> None:
    """Stops a server that `start` has started, at once if it does not stop in order."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def own(directory: Path) -> None:
    """Gives *directory* and all that is in it to the servers' account, which cannot be root."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if os.getuid() == 0:
            user = pwd.getpwnam(ACCOUNT)
            os.chown(path, user.pw_uid, user.pw_gid)


def certify(authority: Path, certificate: Path, key: Path) -> None:
    """Writes a certificate for 127.0.0.1 and localhost, its *key*, and the *authority* that signed it."""
    root, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _named("Authority of the tests"), _named("localhost")
    root_constraints = x509.BasicConstraints(ca=True, path_length=None)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    root_certificate = _certificate(root_name, root_name, root.public_key()).add_extension(
        root_constraints, critical=True
    )
    authority.write_bytes(
        root_certificate.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    signed = _certificate(name, root_name, own_key.public_key()).add_extension(names, critical=False)
    certificate.write_bytes(signed.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        own_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _certificate(subject: x509.Name, issuer: x509.Name, public: Any) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _account() -> dict[str, Any]:
    """How a child leaves root, which no Postgres and no PgBouncer runs as."""
    if os.getuid():
        return {}
    user = pwd.getpwnam(ACCOUNT)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _environment() -> dict[str, str]:
    """Ours without what libpq would take for itself, root's home included."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "HOME": "/"}
