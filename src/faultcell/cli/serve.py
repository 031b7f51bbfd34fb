"""The verb that serves a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from faultcell.cli.common import Json


def serve(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Models to draw from, one or more.")],
    real: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Real curves: beside the drawn ones, and to draw from.")
    ] = None,
    scores: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Scores, gain or study file to show; repeat for more.")
    ] = None,
    host: Annotated[str, typer.Option(help="Name or address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8080,
    threads: Annotated[int, typer.Option(min=1, help="Threads that draw; more gain little on one chunk of curves.")] = 1,
    browse: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open a browser; done on a terminal if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve a page on this machine: move sliders and see the curves change; with an HTTP API (extra `app`)."""
    from faultcell.app import server

    server.require()
    with server.bind(host, port) as listening:
        from faultcell.app.registry import Registry

        registry = Registry.of(bundles, real=real, scores=scores or ())
        if not server.is_local(host):
            said = f"faultcell: warning: {host} can be asked by other machines, and nobody is asked who they are"
            print(said, file=sys.stderr)
        server.serve(
            registry,
            host=host,
            listening=listening,
            threads=threads,
            browse=sys.stdout.isatty() if browse is None else browse,
            on_start=lambda address: _say(address, as_json),
        )


def _say(address: str, as_json: bool) -> None:
    import json

    found = {"page": address, "api": f"{address}/api/v1"}
    print(json.dumps(found, indent=2) if as_json else f"{address} (Ctrl-C stops it)", flush=True)
