"""Whether what a bundle holds is the model that its configuration names: looked at before anything of that size is made.

SHA-256 sums tell damage, not intent: whoever changes a file can change its sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faultcell.bundle import store
from faultcell.bundle.profile import Profile, ranged
from faultcell.config import Config, GridConfig
from faultcell.curves.condition import Limits
from faultcell.curves.faults import FirstOrder
from faultcell.encoding.grid import CHANNELS, CURRENT, MODES, STEPS, VOLTAGE
from faultcell.encoding.network_shape import network_of
from faultcell.errors import BundleError, first_line
from faultcell.models.registry import KINDS
from faultcell.regression.fault_effect import FORMS, PARTS
from faultcell.regression.kernel import FEATURES, KERNELS, drivers
from faultcell.regression.local_linear import LocalTrend
from faultcell.regression.request import CURVE_KINDS
from faultcell.regression.scale import Radii, ResidualScale
from faultcell.regression.support import ERRORS

Sizes = Mapping[str, tuple[int, ...]]
# Of the known curves, numbers that are not known are NaN; everything else is a number.
_MAY_BE_UNKNOWN = ("features", "past", "count", "log_seconds", "strays")
MOST_VOLT = 2000.0  # of rated limits, a pack's
_TYPES = {
    **dict.fromkeys(("neighbours.label", "neighbours.mode", "neighbours.cell", "effect.rows", "effect.form"), torch.int64),
    "neighbours.mask": torch.bool,
    "neighbours.values": torch.float32,
}


@contextmanager
def unfit_refused(folder: str | Path) -> Iterator[None]:
    """Whatever is wrong with a bundle is said in one sentence."""
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{folder} {error}: train it with this version of FaultCell") from error
    # What a hostile configuration makes constructors of networks raise has no end.
    except Exception as error:
        raise BundleError(
            f"{folder} does not fit this version of FaultCell ({first_line(error, 120)}): train it again"
        ) from error


def settings_of(config: Mapping[str, Any]) -> tuple[Config, Profile]:
    """Configuration and profile of a bundle; raises BundleError or ValueError where they make no sense."""
    written = config.get("format")
    if isinstance(written, int) and 0 < written < store.FORMAT:
        raise BundleError(
            f"is a bundle of format {written}, of an earlier version that drew other curves; this one reads format "
            f"{store.FORMAT}"
        )
    if written != store.FORMAT or config.get("kind") not in KINDS:
        raise BundleError(f"is no bundle of format {store.FORMAT} of a kind among {', '.join(KINDS)}")
    if not isinstance(config["base_sha256"], str | None):
        raise ValueError("base_sha256 is no text")
    found, profile = Config(**config["config"]), Profile(**config["profile"])
    steps = set(profile.step_types)
    if (
        not steps
        or set(profile.labels) != set(profile.ranges)
        or not steps <= {*profile.typical} & {*profile.contexts} & {*STEPS}
    ):
        raise ValueError("its profile lacks half-cycles, ranges or typical cells")
    if any(set(ranges) != set(ranged(label)) for label, ranges in profile.ranges.items()):
        raise ValueError("its profile lacks ranges of a severity")
    for typical in profile.typical.values():
        limits = Limits(typical.lower_voltage_limit_volt, typical.upper_voltage_limit_volt)
        if max(abs(limits.lower), abs(limits.upper)) > MOST_VOLT:
            raise ValueError("its profile has rated limits that neither a cell nor a pack has")
        if typical.nominal_capacity_ah <= 0:
            raise ValueError("its profile has a cell without capacity")
    if not {CHANNELS[VOLTAGE], CHANNELS[CURRENT]} <= set(profile.channels) <= set(CHANNELS):
        raise ValueError("its profile lacks voltage or current, or has a channel that there is not")
    if len(set(profile.faults)) < len(profile.faults):
        raise ValueError("its profile has a fault twice")
    return found, profile


def check_sizes(folder: Path, config: Mapping[str, Any], found: Sizes) -> None:
    """Raise BundleError where tensors are not those of the model, by their names and shapes alone."""
    with unfit_refused(folder):
        _check_sizes(config, found)


def _check_sizes(config: Mapping[str, Any], found: Sizes) -> None:
    settings, profile = settings_of(config)
    with torch.device("meta"):  # sizes without memory
        network = network_of(settings, profile.faults)
    count, known = (found.get(name, (0,)) for name in ("neighbours.cell", "effect.rows"))
    wanted = {f"network.{name}": tuple(value.shape) for name, value in network.state_dict().items()}
    one, other = (size[0] if len(size) == 1 else 0 for size in (count, known))
    wanted |= _frame_sizes(settings.grid, one, known=other, drives=len(drivers(profile.faults)))
    wrong = next((name for name in {**wanted, **found} if wanted.get(name) != found.get(name)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:60]} is {found.get(wrong, 'missing')}, not {wanted.get(wrong, 'there')}")


def check_values(tensors: Mapping[str, Tensor], profile: Profile) -> None:
    """Raise ValueError where weights or known curves are no numbers, or name faults that there are not."""
    for name, value in tensors.items():
        unknown = name.startswith("neighbours.") and name.removeprefix("neighbours.") in _MAY_BE_UNKNOWN
        lost = torch.isinf(value) if unknown else ~torch.isfinite(value)
        if bool(lost.any()):
            raise ValueError(f"{name} holds what is no number")
        if value.dtype != _TYPES.get(name, torch.float32 if name.startswith("network.") else torch.float64):
            raise ValueError(f"{name} is of another type ({value.dtype})")
    if not bool(tensors["neighbours.log_seconds"][:, 0].isfinite().all()):
        raise ValueError("neighbours.log_seconds holds what is no number")
    label, mode = tensors["neighbours.label"], tensors["neighbours.mode"]
    if len(label) == 0 or not (int(label.min()) >= -1 and int(label.max()) < len(profile.faults)):
        raise ValueError("neighbours.label names faults that there are not")
    rows = tensors["effect.rows"]
    if len(rows) and not (int(rows.min()) >= 0 and int(rows.max()) < len(label)):
        raise ValueError("effect.rows names curves that there are not")
    form = tensors["effect.form"]
    if len(form) and not (int(form.min()) >= 0 and int(form.max()) < len(FORMS)):
        raise ValueError("effect.form names what is no way to tell a remainder")
    if not (int(mode.min()) >= 0 and int(mode.max()) < len(MODES)):
        raise ValueError("neighbours.mode names what is no way to lie on the grid")


def _frame_sizes(grid: GridConfig, count: int, *, known: int, drives: int) -> dict[str, tuple[int, ...]]:
    """Of all that stands between curves and a network, see `residual.ResidualEncoder.tensors`."""
    points, kinds, slopes = (len(CHANNELS), grid.length), CURVE_KINDS, LocalTrend.none(len(CHANNELS) * grid.head)
    return {
        **{f"scaler.{name}": (kinds, *points) for name in ("mean", "std", "seen")},
        **{f"scaler.{name}": (kinds, 2) for name in ("duration_mean", "duration_std", "duration_seen")},
        "widths.coefficients": ResidualScale.plain().coefficients.shape,
        "slopes.coefficients": slopes.coefficients.shape,
        "slopes.span": slopes.span.shape,
        "neighbours.scales": (len(KERNELS), len(MODES), len(FEATURES) + 1),
        "neighbours.persistence": (len(MODES),),
        **{f"radii.{name}": getattr(Radii.plain(), name).shape for name in ("table", "count")},
        "effect.rows": (known,),
        "effect.values": (known, *points),
        "effect.log_seconds": (known, 2),
        "effect.kelvin": (known,),
        "effect.rise": (known,),
        "effect.form": (known, PARTS),
        "neighbours.features": (count, len(FEATURES)),
        "neighbours.severities": (count, drives),
        "neighbours.first_order": (count, len(FirstOrder._fields)),
        **{f"neighbours.{name}": (count,) for name in ("label", "mode", "past", "count", "cell")},
        **{f"neighbours.{name}": (count, *points) for name in ("values", "mask")},
        "neighbours.log_seconds": (count, 2),
        "neighbours.strays": (count, 2, len(ERRORS)),
    }
