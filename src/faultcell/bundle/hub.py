"""Bundles in the words of Hugging Face: `save_pretrained`, `from_pretrained`, from a folder or from a repository of the hub."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from faultcell.bundle.store import FILES, SUMS
from faultcell.errors import BundleError, MissingExtraError, first_line

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Pretrained(ABC):
    """A model that is kept as a bundle."""

    @abstractmethod
    def save(self, folder: str | Path) -> Path:
        """Write the bundle, whole or not at all."""

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a bundle."""

    def save_pretrained(self, save_directory: str | Path) -> Path:
        """The same as `save`: a bundle is a model repository as it stands, with its card and weights in safetensors."""
        return self.save(save_directory)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Read a bundle from a folder, or from a repository of the hub (extra `hub`), which is checked like any other.

        Args:
            pretrained_model_name_or_path: a folder; or, where there is none of that name, `owner/name` on the hub.
            revision: branch, tag or commit of the repository.
            cache_dir: where downloads are kept; the hub's own place where not given.
            local_files_only: take what has been downloaded before, ask no one.

        Raises:
            BundleError: neither is there, or the bundle is incomplete, was changed or is of another kind.
            MissingExtraError: a repository is asked for and huggingface_hub is not installed.
        """
        name = str(pretrained_model_name_or_path)
        if Path(name).exists() or not _REPOSITORY.fullmatch(name):
            return cls.load(pretrained_model_name_or_path)
        return cls.load(_downloaded(name, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only))


def _downloaded(name: str, *, revision: str | None, cache_dir: str | Path | None, local_files_only: bool) -> Path:
    """The files of a bundle in a repository, in the hub's cache."""
    if find_spec("huggingface_hub") is None:
        raise MissingExtraError("huggingface_hub", "hub")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                allow_patterns=[*FILES, SUMS],
            )
        )
    # Everything the hub's client raises is one of these.
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{name}: found no folder of that name, and nothing that could be had from the hub "
            f"({first_line(error, 120)}): check the name, the network and, for a private one, the login"
        ) from error
