"""``postback secrets``: the keys of the setting ``secret_key``."""

import typer

from receiver import secrets

app = typer.Typer(help="The keys of the setting secret_key.", no_args_is_help=True)


@app.command()
def key() -> None:
    """Makes a secret key and prints it, and nothing else; the front of `secret_key` is its place."""
    print(secrets.make())
