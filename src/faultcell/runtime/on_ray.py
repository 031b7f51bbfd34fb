"""Work spread over a cluster by Ray: the one file that imports it (extra `ray`).

A node or a worker that dies costs the tasks that ran there; they run again elsewhere. So a task must give the same for the same
item and leave nothing behind but what it returns, or a file that is written whole.

References:
    Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, 2018, https://arxiv.org/abs/1712.05889.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultcell.errors import FaultCellError, MissingExtraError, first_line
from faultcell.runtime.workers import AHEAD, Item, Result, in_order

LOCAL = "local"
LOOPBACK = "127.0.0.2"  # what Ray makes of 127.0.0.1 is the machine's outward address
ATTEMPTS = 3  # of a task whose worker dies
STORE_BYTE = 256 * 2**20  # of a cluster of our own; what does not fit goes to disk
NOWHERE = "http://127.0.0.1:9"
HOME = ("HOME", "USERPROFILE")  # of the user
NAMED = 3  # lost items, by name


@dataclass(frozen=True)
class RayCluster:
    """Ray on this machine, or a cluster that runs already.

    A cluster of our own takes orders from who has its token alone, which no file holds, and tells nobody that it was used; of
    both Ray must be told before it is imported. One that runs already is joined, from one of its nodes, as it is: if it has no
    token, whoever reaches it may run code on it.

    Attributes:
        address: `local`, or where its head listens, HOST:PORT.
        workers: tasks at once, of a local one.
    """

    address: str = LOCAL
    workers: int = 1

    def spread(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """What `work` makes of each item, in their order.

        Raises:
            FaultCellError: an item ended its worker `ATTEMPTS` times, which the others do not wait for; or the cluster is gone.
            MissingExtraError: Ray is not installed.
        """
        with self.joined() as ray:
            key, held = uuid.uuid4().hex, [ray.put(work)]
            home = {name: os.environ[name] for name in HOME if name in os.environ} if self._is_local else {}
            remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_do)
            begun = ((item, remote.remote(key, held, home, item)) for item in items)
            at_once = int(ray.cluster_resources().get("CPU", 1))
            lost = list[str]()

            def result(one: tuple[Any, Any]) -> Any:
                try:
                    return ray.get(one[1])
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
                    lost.append(_named(one[0]))
                    return None
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, ray.exceptions.RayError) or "failed to import" in str(error.cause):
                        raise FaultCellError(
                            f"no worker of {self.address} can take the work up ({first_line(error.cause)}): they need the same "
                            "Python and the same faultcell"
                        ) from error
                    raise error.cause from error  # what the work itself raised: it would again
                except ray.exceptions.RayError as error:
                    raise FaultCellError(f"the cluster at {self.address} is gone or full ({first_line(error)})") from error

            for made in in_order(begun, ahead=AHEAD * at_once, result=lambda one: (len(lost), result(one))):
                if len(lost) == made[0]:
                    yield made[1]
            if lost:
                named = ", ".join(lost[:NAMED]) + (", ..." if len(lost) > NAMED else "")
                said = (
                    "1 piece of work ended its worker" if len(lost) == 1 else f"{len(lost)} pieces of work ended their worker"
                )
                raise FaultCellError(
                    f"{said} {ATTEMPTS} times, most likely for want of memory, and left nothing: {named}; what the "
                    "others left on disk is there"
                )

    @contextmanager
    def joined(self) -> Iterator[Any]:
        """Ray, as long as it is wanted: who spreads several things does so inside, or each of them begins anew."""
        ray = _ray(tokened=self._is_local)
        if ray.is_initialized():
            yield ray
            return
        # Sockets lie in it: a longer name would not do.
        own = Path(tempfile.mkdtemp(prefix="fc-", dir="/tmp" if os.path.isdir("/tmp") else None)) if self._is_local else None
        before = signal.getsignal(signal.SIGTERM)
        try:
            try:
                with unasked(own) if own is not None else nullcontext():
                    self._init(ray, own)
            except (ConnectionError, RuntimeError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
                raise FaultCellError(f"no Ray cluster answers at {self.address} ({first_line(error)})") from error
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has set its own
            yield ray
        finally:
            ray.shutdown()
            if own is not None:
                shutil.rmtree(own, ignore_errors=True)

    @property
    def _is_local(self) -> bool:
        return self.address == LOCAL

    def _init(self, ray: Any, own: Path | None) -> None:
        told = {"log_to_driver": False, "logging_level": "ERROR"}
        if own is None:
            ray.init(address=self.address, **told)
            return
        loopback = {"_node_ip_address": LOOPBACK} if sys.platform == "linux" else {}  # others have but the one
        store = {"_temp_dir": str(own), "object_store_memory": STORE_BYTE, **loopback}
        ray.init(address=LOCAL, num_cpus=self.workers, include_dashboard=False, **store, **told)


@contextmanager
def unasked(folder: Path) -> Iterator[None]:
    """A head that is begun here asks no cloud whose machine this is.

    Ray's dashboard, a part of which is always begun, does so before it looks whether it may report, unless a file in the home
    of the user tells it: so it finds an empty one in this folder.
    """
    (folder / "ray_bootstrap_config.yaml").write_text("{}\n", encoding="ascii")
    before = {name: os.environ.get(name) for name in HOME}
    os.environ |= dict.fromkeys(HOME, str(folder))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _ray(*, tokened: bool) -> Any:
    """The package, told before it is imported what it must not do."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_REPORT_URL", NOWHERE)  # where a head would report that it reports nothing
    os.environ.setdefault("RAY_task_oom_retries", str(ATTEMPTS - 1))  # which Ray counts apart, and without end
    if tokened and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return ray


_works: dict[str, Callable[[Any], Any]] = {}  # of a worker: the work comes once, not with every item


def _do(key: str, held: list[Any], home: Mapping[str, str], item: Any) -> Any:
    """One piece of work, on a worker."""
    import ray

    os.environ |= home  # the head was begun with another

    if key not in _works:
        _works.clear()
        _works[key] = ray.get(held[0])
    return _works[key](item)


def _named(item: Any) -> str:
    """A piece of work, for people."""
    told = (getattr(item, name, None) for name in ("name", "cell", "index"))
    return str(next((value for value in told if isinstance(value, (str, int))), None) or repr(item)[:60])
