"""Whom Postgres runs as. It refuses root, and any uid that has no entry in the passwd database."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from postback.postgres_binaries import EmbeddedPostgresError

_NOBODY = 65534


class SpawnOptions(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """How to start a program as somebody Postgres accepts: behind *prefix*, or with another uid and gid."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    @property
    def spawn_options(self) -> SpawnOptions:
        if self.uid is None or self.gid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, directory: Path) -> None:
        """Gives a directory that we have just made to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(directory, self.uid, self.gid)

    def pass_through(self, data_dir: Path) -> None:
        """Lets the account walk through the data directory to what it owns there, and read nothing else."""
        if self.gid is not None and not _may_enter(self, data_dir):
            os.chown(data_dir, -1, self.gid)
            data_dir.chmod(0o710)


def choose(cluster: Path, binaries: Path) -> Account:
    """The account for *cluster*, which need not exist yet. Raises ``EmbeddedPostgresError``.

    No user is created, and nothing outside the data directory changes its permissions: in a user namespace
    of its own the server takes itself for nobody, while its files go on belonging to us.
    """
    uid = os.geteuid()
    owner = cluster.stat().st_uid if cluster.exists() else uid
    if uid != 0:
        return _for_ordinary(uid, owner, cluster)
    if owner != 0:
        return _owner_account(owner, cluster)
    namespace = _namespace()
    if namespace:
        return namespace
    for name in ("postgres", "nobody"):
        account = _existing(name)
        # The data directory itself is ours to open by a crack, the ones above it are not.
        if account and _reachable(account, cluster.parent.parent) and _reachable(account, binaries):
            return account
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root, and no other account here can reach both its programs and "
        f"{cluster.parent}; run Postback as an ordinary user, or set database_url to a server of your own."
    )


def _owner_account(owner: int, cluster: Path) -> Account:
    try:
        return _account_of(pwd.getpwuid(owner))
    except KeyError:
        raise EmbeddedPostgresError(
            f"{cluster} belongs to user id {owner}, which has no entry in the passwd database; run Postback "
            "as that user, or add the entry."
        ) from None


def _for_ordinary(uid: int, owner: int, cluster: Path) -> Account:
    if owner != uid:
        raise EmbeddedPostgresError(
            f"{cluster} belongs to user id {owner}, and Postback runs as {uid}; run it as the owner, or set "
            "data_dir to a directory of your own."
        )
    try:
        pwd.getpwuid(uid)
    except KeyError:
        namespace = _namespace()
        if namespace:
            return namespace
        raise EmbeddedPostgresError(
            f"User id {uid} has no entry in the passwd database, and PostgreSQL refuses to run without one; "
            "add the entry, or set database_url to a server of your own."
        ) from None
    return Account()


def _namespace() -> Account | None:
    """A user namespace, unless they are refused, as by the default seccomp profile of containers."""
    unshare = shutil.which("unshare")
    if not unshare:
        return None
    prefix = (unshare, "--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    return Account(prefix) if _succeeds([*prefix, "true"]) else None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _existing(name: str) -> Account | None:
    try:
        return _account_of(pwd.getpwnam(name))
    except KeyError:
        return None


def _account_of(entry: pwd.struct_passwd) -> Account:
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _reachable(account: Account, directory: Path) -> bool:
    return all(_may_enter(account, step) for step in (directory, *directory.parents) if step.exists())


def _may_enter(account: Account, directory: Path) -> bool:
    found = directory.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & 0o100)
    return bool(found.st_mode & (0o010 if found.st_gid == account.gid else 0o001))
