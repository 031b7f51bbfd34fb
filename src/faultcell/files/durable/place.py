"""Where a set of many parts lies: a folder that all processes see, or a URL of an object store: the one file that uses fsspec.

A folder of a shared file system can be renamed into, an object store cannot; but a file that is put there is there whole or not
at all. So nothing is ever moved between places, and a set is whole once its list of parts says so (`part_list`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from faultcell.errors import DataError, first_line
from faultcell.files.durable.atomic import disk_errors, into_place, write_text
from faultcell.files.durable.swap import neighbour


class Place(Protocol):
    """What parts are written to and read from, by names with slashes; raises DataError where that cannot be."""

    @property
    def name(self) -> str:
        """For people, and for other processes."""
        ...

    def making(self, name: str) -> Any:
        """A context: a folder of this machine to make files in, which is gone at last."""
        ...

    def put(self, made: Path, name: str) -> None:
        """Put a file that was made here in its place, for good."""
        ...

    def write(self, name: str, text: str) -> None:
        """Write a small file at once."""
        ...

    def text(self, name: str) -> str | None:
        """A small file; None where there is none."""
        ...

    def names(self, within: str = "") -> list[str]:
        """What is in it, or in one of its folders; nothing where that is not there."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def here(self, name: str) -> Any:
        """A context: the file, where this machine can open it."""
        ...

    def remove(self, within: str) -> None:
        """Remove one of its folders and what is in it, or a file."""
        ...


def place_of(where: str | Path) -> Place:
    """The folder at a path, or what is at a URL such as `s3://bucket/name`.

    Raises:
        DataError: nothing that is installed knows such URLs.
    """
    return Remote(str(where).rstrip("/")) if is_url(where) else Folder(os.path.abspath(where))


def is_url(where: str | Path) -> bool:
    """Whether something is a URL and no path."""
    return isinstance(where, str) and "://" in where


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or of a file system that others share."""

    name: str

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """See `Place`; it lies beside what will be put, and is cleared away by others where this process is killed."""
        beside = self._of(name)
        with disk_errors(Path(self.name)):
            beside.parent.mkdir(parents=True, exist_ok=True)
            with neighbour(beside, folder=True) as made:
                yield made

    def put(self, made: Path, name: str) -> None:
        """See `Place`."""
        target = self._of(name)
        with disk_errors(Path(self.name)):
            target.parent.mkdir(parents=True, exist_ok=True)
            into_place(made, target)

    def write(self, name: str, text: str) -> None:
        """See `Place`."""
        write_text(self._of(name), text)

    def text(self, name: str) -> str | None:
        """See `Place`."""
        try:
            return self._of(name).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self._of(name)}: could not be read ({first_line(error)}): look at the disk") from error

    def names(self, within: str = "") -> list[str]:
        """See `Place`; what others are making is not shown."""
        folder = self._of(within)
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))

    def size(self, name: str) -> int | None:
        """See `Place`."""
        path = self._of(name)
        return path.stat().st_size if path.is_file() else None

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """See `Place`."""
        yield self._of(name)

    def remove(self, within: str) -> None:
        """See `Place`."""
        path = self._of(within)
        if path.is_file():
            path.unlink(missing_ok=True)
            return
        shutil.rmtree(path, ignore_errors=True)

    def _of(self, name: str) -> Path:
        return Path(self.name, name)


@dataclass(frozen=True)
class Remote:
    """What is at a URL; how it is reached, with which keys, fsspec and its packages know from their own settings."""

    name: str

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """See `Place`."""
        with tempfile.TemporaryDirectory(prefix="faultcell-") as made:
            yield Path(made)

    def put(self, made: Path, name: str) -> None:
        """See `Place`."""
        with self._told():
            self._files.put_file(str(made), self._made_for(name))

    def write(self, name: str, text: str) -> None:
        """See `Place`."""
        with self._told():
            self._files.pipe_file(self._made_for(name), text.encode())

    def text(self, name: str) -> str | None:
        """See `Place`."""
        with self._told():
            try:
                return str(self._files.cat_file(self._of(name)).decode())
            except FileNotFoundError:
                return None

    def names(self, within: str = "") -> list[str]:
        """See `Place`."""
        with self._told():
            try:
                found = self._files.ls(self._of(within), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(name for path in found if (name := path.rstrip("/").rpartition("/")[2]))

    def size(self, name: str) -> int | None:
        """See `Place`."""
        with self._told():
            try:
                return int(self._files.info(self._of(name))["size"])
            except FileNotFoundError:
                return None

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """See `Place`."""
        with tempfile.TemporaryDirectory(prefix="faultcell-") as folder:
            path = Path(folder, name.rpartition("/")[2])
            with self._told():
                self._files.get_file(self._of(name), str(path))
            yield path

    def remove(self, within: str) -> None:
        """See `Place`."""
        with self._told(), suppress(FileNotFoundError):
            self._files.rm(self._of(within), recursive=True)

    @property
    def _files(self) -> Any:
        import fsspec

        return fsspec.core.url_to_fs(self.name)[0]

    def _made_for(self, name: str) -> str:
        """A file that will be written, in a folder that is there, for those that know folders."""
        path = self._of(name)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        return path

    def _of(self, name: str) -> str:
        root = self.name if not name else f"{self.name}/{name}"
        return str(self._files._strip_protocol(root))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except ImportError as error:
            raise DataError(
                f"{self.name}: found a URL that needs a package of its own ({first_line(error)}): install it, or name a folder"
            ) from error
        except Exception as error:  # each kind of store has its own
            raise DataError(
                f"{self.name}: could not be reached, read or written ({first_line(error)}): look at the store and your keys to "
                "it, and begin again: what is there is kept"
            ) from error
