"""Objects that people look at: a picture on matplotlib axes, a small one in notebooks, a table of results."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from faultcell.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas
    import polars as pl
    from matplotlib.axes import Axes

PICTURES = "faultcell.plotting.objects"  # lies above what it shows, and is loaded when a picture is first asked for


class Plotted:
    """What `faultcell.plotting.objects` has a picture of.

    Attributes:
        picture: the function there that draws it.
    """

    picture: ClassVar[str]

    def plot(self, ax: Axes | None = None, **how: Any) -> Axes:
        """A picture of it on matplotlib axes.

        Args:
            ax: axes to draw on; new ones where not given.
            **how: see the function of `faultcell.plotting.objects` that `picture` names.
        """
        axes: Axes = getattr(import_module(PICTURES), self.picture)(self, ax, **how)
        return axes

    def _repr_html_(self) -> str:
        html: str = import_module(PICTURES).as_html(self)
        return html


class Tabular:
    """Results that are a table, too."""

    @abstractmethod
    def to_polars(self) -> pl.DataFrame:
        """A row for each of them."""

    def to_pandas(self) -> pandas.DataFrame:
        """The same for pandas (extra `pandas`).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            return self.to_polars().to_pandas()
        except ImportError as error:
            raise MissingExtraError("pandas", "pandas") from error
