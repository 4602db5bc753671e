"""A Postgres that is away when we say so: ``python -m faults.database DATA_DIR [NAME=VALUE ...]``.

Nobody starts it again; SIGTERM stops it in the fast manner. A process of its own, because starting and
stopping wait for the server, and the callers must go on meanwhile.
"""

import signal
import sys
from pathlib import Path

from postback.embedded import EmbeddedPostgres


def main() -> None:
    data_dir, *settings = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    given = dict(setting.split("=", 1) for setting in settings)
    with EmbeddedPostgres(Path(data_dir), settings=given, superuser=True) as server:
        print(f"ready {server.url}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
