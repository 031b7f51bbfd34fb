"""All of it together: the API, the page and the guard before them, bound to one address."""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import os
import socket
import threading
import warnings
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from faultcell.errors import ConditionError, FaultCellError, MissingExtraError

if TYPE_CHECKING:
    from faultcell.app.registry import Registry

MOST_MESSAGE = 256 * 1024  # bytes, from a browser over its socket
PATIENCE = 2  # seconds in which open connections may end


def require() -> None:
    """Refuse early if NiceGUI is not installed; without loading it.

    Raises:
        MissingExtraError: if it is not.
    """
    if importlib.util.find_spec("nicegui") is None:
        raise MissingExtraError("NiceGUI", "app")


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any that is free.

    Raises:
        ConditionError: the host stands for every address of the machine.
        FaultCellError: the address is taken, or not one of this machine.
    """
    if _is_every(host):
        raise ConditionError(f"--host takes one name or address, not {host}, which is all of them: give the one to be asked at")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as unless_it_listens:
            found = unless_it_listens.enter_context(socket.socket(family, kind, protocol))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen()
            unless_it_listens.pop_all()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FaultCellError(f"cannot listen at {host}, port {port} ({reason}): give another with --host or --port") from error
    return found


def is_local(host: str) -> bool:
    """Whether only this machine can ask there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(
    registry: Registry, *, host: str, listening: socket.socket, threads: int, browse: bool, on_start: Callable[[str], None]
) -> None:
    """Answer until interrupted.

    Args:
        registry: what is served.
        host: the name or address it is bound to.
        listening: from `bind`.
        threads: of torch.
        browse: open a browser.
        on_start: called with the address.
    """
    # Never written; and read from nowhere, since in a folder for all somebody else might lay something there.
    os.environ.setdefault("NICEGUI_STORAGE_PATH", os.path.join(os.devnull, "nowhere"))
    import uvicorn
    from nicegui import Client, ui
    from nicegui import app as nicegui

    from faultcell.app.api import routes
    from faultcell.app.api.connections import HEAD_SECONDS, Connection
    from faultcell.app.api.guard import Guard
    from faultcell.app.page.page import TITLE, build
    from faultcell.app.worker import jobs
    from faultcell.app.worker.queue import DrawQueue

    warnings.filterwarnings("ignore", message=".*reduce_op", category=FutureWarning)  # of torch, when NiceGUI looks around
    port = listening.getsockname()[1]
    draw_queue = DrawQueue(registry, threads=threads, warm=jobs.warm)
    draw_queue.first()
    app = routes.make(registry, draw_queue)
    build(registry, draw_queue)
    ui.run_with(app, title=TITLE, tailwind=False, show_welcome_message=False, gzip_middleware_factory=None)
    config = uvicorn.Config(
        Guard(app, hosts=[host], port=port, pages=lambda: len(Client.instances)),
        http=Connection,
        log_level="error",  # a line for every malformed request would fill a disk
        access_log=False,
        server_header=False,
        ws_max_size=MOST_MESSAGE,
        timeout_keep_alive=HEAD_SECONDS,
        timeout_graceful_shutdown=PATIENCE,
    )
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    nicegui.on_startup(lambda: on_start(address))
    if browse:
        nicegui.on_startup(lambda: threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start())
    gc.collect()
    gc.freeze()  # what stands now stays: looking at all of it again would hold up a draw for a quarter of a second
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # how it is meant to end
    finally:
        draw_queue.close()


def _is_every(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host.strip()
