"""``python -m advisories``: asks for known vulnerabilities of every version that the locks name.

It exits with 1 where one is known or the audit broke. It exits with 0 where none is known, and where the
database cannot be asked: then it prints a line that begins with ``SKIPPED``.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
#: the database of OSV, in which GitHub's advisories and those of the Python Packaging Authority are: https://osv.dev
OSV = "https://api.osv.dev/v1/query"
#: A version with advisories since 2014. An answer that knows none of them comes from a mirror or a proxy, and
#: would call everything else sound as well.
CANARY = "jinja2==2.4.1"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Unasked(Exception):
    """The database cannot be asked, for the reason that it says."""


class Broken(Exception):
    """The database answers, and there is no report all the same."""


@app.command()
def main(
    url: Annotated[str, typer.Option(help="The address to which OSV's queries are posted.")] = OSV,
    seconds: Annotated[float, typer.Option(help="The time for all of it.")] = 55,
) -> None:
    """Asks for known vulnerabilities of every version that the locks name."""
    until = monotonic() + seconds
    try:
        _reach(url, until)
        audited = _report(url, [ROOT / lock for lock in LOCKS], until)
    except Unasked as error:
        print(f"SKIPPED: nothing was audited, because the database at {url} cannot be asked: {error}")
        return
    except Broken as error:
        print(f"The audit broke: {error}", file=sys.stderr)
        sys.exit(1)
    for package in audited:
        if "skip_reason" in package:
            print(f"SKIPPED: {package['name']}: {package['skip_reason']}")
    known = [line for package in audited for line in _known(package)]
    print("\n".join([*known, f"packages audited: {len(audited)}, vulnerabilities known: {len(known)}"]))
    if known:
        print("`make lock UPGRADE=<package>` takes the newest version that pyproject.toml allows.")
        sys.exit(1)


def _known(package: dict[str, Any]) -> list[str]:
    """Returns a line for each vulnerability of a package of the report."""
    return [
        f"{package['name']} {package['version']}: {', '.join([found['id'], *found['aliases']])}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version yet'}: {found['description'][:200]}"
        for found in package.get("vulns", [])
    ]


def _reach(url: str, until: float) -> None:
    """Raises `Unasked` unless the database answers and knows the canary, and `Broken` without pip-audit."""
    if find_spec("pip_audit") is None:
        raise Broken("pip-audit is not installed, which `make setup` does.")
    with tempfile.TemporaryDirectory() as scratch:
        canary = Path(scratch) / "canary.txt"
        canary.write_text(CANARY, encoding="utf-8")
        try:
            audited = _report(url, [canary], until)
        except Broken as error:
            raise Unasked(str(error)) from None
    if not any(package.get("vulns") for package in audited):
        raise Unasked(f"it knows of nothing against {CANARY}, which has known vulnerabilities")


def _report(url: str, requirements: list[Path], until: float) -> list[dict[str, Any]]:
    """Returns the packages of pip-audit's report. Raises `Unasked` when the time is over, and `Broken`.

    pip-audit exits with 1 for what it found and for what went wrong, so the report says which it was.
    """
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "report.json"
        command = [
            sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps",
            *(f"--requirement={path}" for path in requirements),
            "--vulnerability-service=osv", f"--osv-url={url}", "--timeout=5", f"--cache-dir={scratch}",
            "--progress-spinner=off", "--format=json", "--aliases=on", "--desc=on", f"--output={written}",
        ]  # fmt: skip
        try:
            ended = subprocess.run(  # noqa: S603
                command, timeout=max(0.1, until - monotonic()), capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unasked("its answers did not come in time") from None
        if not written.is_file():
            said = (ended.stderr or ended.stdout).strip() or f"pip-audit ended with {ended.returncode}"
            raise Broken(said.splitlines()[-1])
        packages: list[dict[str, Any]] = json.loads(written.read_text(encoding="utf-8"))["dependencies"]
    return packages


if __name__ == "__main__":
    app()
