"""The role that Postback has on its embedded Postgres: the owner of its database, and no superuser.

The server lets nobody else in. Roles and owners are seen to while it does not run, in single-user mode, for
which nobody has to connect: https://www.postgresql.org/docs/current/app-postgres.html
"""

import signal
import subprocess
from pathlib import Path

from postback import postgres_cluster
from postback.lifeline import die_with_parent
from postback.postgres_account import Account
from postback.postgres_binaries import Binaries, EmbeddedPostgresError

ROLE, SUPERUSER, DATABASE = "postback", "postgres", "postgres"
#: who may connect; the cluster's own pg_hba.conf stays as initdb made it, for a server started by hand
HBA = "postback_hba.conf"
#: seconds; a start after a crash reads the log first
TIMEOUT = 300.0

#: Objects that an older version made belong to the superuser, and REASSIGN OWNED refuses his.
_TAKE_OVER = f"""
DO $$
DECLARE
    superuser oid := '{SUPERUSER}'::regrole;
    done text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE};
    END IF;
    ALTER ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    ALTER DATABASE {DATABASE} OWNER TO {ROLE};
    FOR done IN
        WITH ours AS (
            SELECT oid FROM pg_namespace
            WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'),
        extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
        SELECT format('ALTER SCHEMA %I OWNER TO {ROLE}', n.nspname) FROM pg_namespace n
        WHERE n.nspowner = superuser AND n.oid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT format('ALTER TABLE %s OWNER TO {ROLE}', c.oid::regclass) FROM pg_class c
        WHERE c.relowner = superuser AND c.relnamespace IN (SELECT oid FROM ours)
            AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i'))
            AND ('pg_class'::regclass, c.oid) NOT IN (SELECT * FROM extended)
        UNION ALL
        SELECT format('ALTER TYPE %s OWNER TO {ROLE}', t.oid::regtype) FROM pg_type t
        LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typowner = superuser AND t.typnamespace IN (SELECT oid FROM ours)
            AND (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c')
            AND ('pg_type'::regclass, t.oid) NOT IN (SELECT * FROM extended)
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO {ROLE}', p.oid::regprocedure) FROM pg_proc p
        WHERE p.proowner = superuser AND p.pronamespace IN (SELECT oid FROM ours)
            AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT * FROM extended)
    LOOP
        EXECUTE done;
    END LOOP;
END $$;

"""  # noqa: S608 - names of ours


def prepare(cluster: Path, binaries: Binaries, account: Account, *, superuser: bool) -> Path:
    """Returns the file that says who may connect; all that there is belongs to `ROLE` from then on.

    *superuser*: `SUPERUSER` may connect too, for whoever changes the server itself. No server may run on
    *cluster*. Raises ``EmbeddedPostgresError``, ``OSError``.
    """
    hba = cluster / HBA
    if not _is_taken_over(cluster):
        _take_over(cluster, binaries, account)
    also = f"local all {SUPERUSER} trust\n" if superuser else ""
    hba.write_text(f"local {DATABASE} {ROLE} trust\n{also}local all all reject\n", encoding="ascii")
    hba.chmod(0o600)
    account.own(hba)
    return hba


def _is_taken_over(cluster: Path) -> bool:
    """Returns whether the last server here let nobody but `ROLE` in. An older version, whose tables are the
    superuser's, may have run in between: Postgres keeps the command line of its last start."""
    try:
        return HBA in (cluster / "postmaster.opts").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return False


def _take_over(cluster: Path, binaries: Binaries, account: Account) -> None:
    command = [*account.prefix, binaries.program("postgres"), "--single", "-j", "-D", str(cluster)]
    command += ["-c", "exit_on_error=on", "-c", "search_path=", DATABASE]
    try:
        ended = subprocess.run(  # noqa: S603
            command, input=_TAKE_OVER, capture_output=True, text=True, check=False, cwd="/", timeout=TIMEOUT,
            env=postgres_cluster.environment(), preexec_fn=die_with_parent(signal.SIGTERM),
            **account.spawn_options,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        said = f"it took longer than {TIMEOUT:.0f} s"
    else:
        words = [line for line in ended.stderr.splitlines() if "ERROR:" in line or "FATAL:" in line]
        if not ended.returncode and not words:
            return
        said = words[0].partition(": ")[2].strip() if words else f"exit code {ended.returncode}"
    raise EmbeddedPostgresError(
        f"The database in {cluster} cannot be given to the role {ROLE} ({said}); mend that, or set "
        "database_url to a server of your own."
    )
