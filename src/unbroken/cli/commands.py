"""Parse and call; what a command does is elsewhere."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from unbroken.cli.diagnosis.endpoint import doctor
from unbroken.cli.diagnosis.logs import explain
from unbroken.cli.diagnosis.source import check, fix
from unbroken.cli.hub.commands import hub
from unbroken.cli.tail.commands import tail

__all__ = ["app"]

app = typer.Typer(name="unbroken", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unbroken {version('unbroken')}")
        raise typer.Exit


@app.callback()
def unbroken(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """Server-Sent Events for FastAPI and Starlette that do not break."""


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="IPv4 address or name to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; the next free one if it is taken. 0: any.")
    ] = 8000,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve a page that can hurt its own stream, and a board in many tabs whose server can be killed."""
    from unbroken.cli.demo.listening import listen
    from unbroken.cli.demo.serving import serve

    try:
        listener = listen(host, port)
    except OSError as exc:
        typer.echo(f"unbroken demo: cannot listen on {host} port {port}: {exc.strerror or exc}. Try --port 0", err=True)
        raise typer.Exit(1) from None
    serve(listener, wanted_port=port, open_page=open_page)


for command in (tail, explain, check, fix, doctor):
    app.command()(command)
app.add_typer(hub)
