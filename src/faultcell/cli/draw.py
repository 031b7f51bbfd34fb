"""The verbs that draw from a model under conditions: sample, band."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultcell.cli.common import (
    Bundle,
    Cells,
    Cluster,
    Device,
    InParts,
    Json,
    Labels,
    Out,
    OutAnywhere,
    Part,
    Preset,
    Reference,
    SamplerSteps,
    Seed,
    Severities,
    StepTypes,
    Tick,
    Workers,
    carrier,
    given,
    of_parts,
    out_of,
    part_of,
    progress,
    read,
    read_as_told,
    say,
    severities_of,
)
from faultcell.errors import ConditionError, OutOfRangeWarning, many

if TYPE_CHECKING:
    from faultcell.augmenter import Augmenter
    from faultcell.curves.condition import Condition
    from faultcell.curves.curves import Curves


def sample(
    bundle: Bundle,
    out: OutAnywhere,
    fault: Annotated[str | None, typer.Option(help="Fault to draw, or normal.")] = None,
    peak_deviation_volt: Annotated[float | None, typer.Option(help="How far beyond the rated limit, V.")] = None,
    repetition_count: Annotated[int | None, typer.Option(help="Faults of that kind so far, this one included.")] = None,
    duration_second: Annotated[float | None, typer.Option(help="Time beyond the limit, summed over those faults, s.")] = None,
    severity: Severities = None,
    count: Annotated[int, typer.Option(min=1, help="How many curves.")] = 1,
    c_rate: Annotated[float | None, typer.Option(help="Load current over nominal capacity, 1/h.")] = None,
    ambient_temperature_celsius: Annotated[float | None, typer.Option(help="degC.")] = None,
    cycle_count: Annotated[int | None, typer.Option(help="Cycle number in the life of the cell.")] = None,
    state_of_health: Annotated[float | None, typer.Option(help="Capacity over nominal capacity.")] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="DIR", help="One curve for each curve of this set, with its conditions.")
    ] = None,
    reference: Reference = None,
    preset: Preset = None,
    steps: SamplerSteps = None,
    in_parts: InParts = False,
    part: Part = None,
    workers: Workers = None,
    cluster: Cluster = None,
    device: Device = "cpu",
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Draw curves: by condition (--fault ...), or one for each curve of a set (--like)."""
    from faultcell import files
    from faultcell.augmenter import Augmenter
    from faultcell.presets import agreed

    check_one_way(like, fault, reference)
    place = out_of(out, in_parts=in_parts)
    values = {
        "peak_deviation_volt": peak_deviation_volt,
        "repetition_count": repetition_count,
        "cumulative_duration_second": duration_second,
        "c_rate": c_rate,
        "ambient_temperature_celsius": ambient_temperature_celsius,
        "cycle_count": cycle_count,
        "state_of_health": state_of_health,
    }
    only = {"label": label, "cells": cells, "step_type": step_type}
    asked = _asked(fault, like, count, given(**values), severities=severities_of(severity), only=only)
    seeds = range(seed, seed + len(asked))
    if not in_parts:
        own = part_of(part, len(asked))
        seeds, asked = seeds[own], asked[own]
    earlier = read_as_told(reference) if reference else None
    model = Augmenter.load(bundle).to(device)
    settings = {
        "verb": "sample",
        "preset": agreed(model.config, preset),
        "gate": model.config.gate,
        "model_sha256": model.sha256,
        "seed": seed,
        "part": part,
        "steps": steps or model.config.diffusion.num_inference_steps,
        "reference": reference.name if reference else None,
        "cells_seen": list(model.profile.cells),
    }
    if in_parts:
        with carrier(workers, cluster, device) as carried, progress() as tick:
            shared: dict[str, Any] = {"config": settings, "reference": earlier, "workers": carried}
            _into_parts(model, asked, seeds, place, part=part, as_json=as_json, tick=tick, **shared)
        return
    redraws = Counter[str]()
    with carrier(workers, cluster, device) as carried, progress() as tick:
        blocks = model.stream(
            asked,
            seeds,
            steps=steps,
            reference=earlier,
            workers=carried,
            on_chunk=lambda n, m: tick("drawing", n, m),
        )
        files.write_blocks(counted(blocks, redraws, settings), place, config=settings)
    beyond = [found for condition in asked if (found := model.profile.beyond(condition))]
    if like is not None and len(beyond) > len(asked) / 2:
        said = f"most of what is asked for ({len(beyond)} of {len(asked)}) lies outside what the model has seen"
        warnings.warn(f"{said}: its curves are extrapolations", OutOfRangeWarning, stacklevel=2)
    facts = {"out": str(out), "curves": len(asked), "extrapolated": len(beyond), "model_sha256": model.sha256}
    facts |= {"redrawn": redraws["curves"]}
    say(facts, as_json, _drawn(len(asked), out, redraws=redraws, beyond=beyond))


def _into_parts(
    model: Augmenter,
    asked: Sequence[Condition],
    seeds: Sequence[int],
    out: str | Path,
    *,
    config: dict[str, Any],
    part: str | None,
    as_json: bool,
    tick: Tick,
    **how: Any,
) -> None:
    """Draw a set of parts, or a share of them."""
    from faultcell.augmentation import draw_into
    from faultcell.generation import in_parts

    shared = {key: value for key, value in config.items() if key != "part"}
    how |= {"steps": config["steps"], "curves_in_part": in_parts.PART, "on_part": partial(tick, "drawing parts")}
    share = part_of(part, -(-len(asked) // in_parts.PART))
    listed = draw_into(model, asked, seeds, out, config=shared, share=share, **how)
    told = listed.told if listed is not None else {}
    redraws, beyond = (told.get(name, Counter()) for name in ("redrawn", "extrapolated"))
    facts = {"out": str(out), "curves": listed.curves if listed else None, "extrapolated": beyond["curves"]}
    facts |= {"model_sha256": model.sha256, "redrawn": redraws["curves"], "whole": listed is not None}
    names = [told["extrapolated_in"]] * beyond["curves"] if beyond["curves"] else []
    say(facts, as_json, of_parts(part, listed, out) + _again(redraws, names))


def _asked(
    fault: str | None,
    like: Path | None,
    count: int,
    values: dict[str, Any],
    *,
    severities: Mapping[str, float],
    only: dict[str, list[str] | None],
) -> list[Condition]:
    """What is asked for: the conditions of a fault, or those of a set."""
    from faultcell.curves.conditions import conditions_of

    if fault is not None:
        steps = only["step_type"]
        if steps and len(steps) > 1:
            raise ConditionError("sample --fault draws one kind of half-cycle: name one with --step-type")
        return asked_for(fault, count, values, severities=severities, step=steps[0] if steps else None)
    assert like is not None
    if values or severities or count != 1:
        raise ConditionError("sample --like takes every condition from that set: leave out --count and the conditions")
    return conditions_of(read(like, **only))


def _drawn(count: int, out: str, *, redraws: Counter[str], beyond: Sequence[Mapping[str, float]]) -> str:
    """How many curves there are, and how many of them were drawn again or extrapolate."""
    return f"{many(count, 'curve')} in {out}" + _again(redraws, beyond)


def _again(redraws: Counter[str], beyond: Sequence[Iterable[str]]) -> str:
    """How many curves were drawn again or extrapolate, and in what."""
    text = ""
    if redraws["curves"]:
        text += f"; {redraws['curves']} drawn again ({redraws['draws']} draws), for no cell could have made them"
    if beyond:
        text += f"; {len(beyond)} extrapolate, in {', '.join(dict.fromkeys(name for names in beyond for name in names))}"
    return text


def counted(blocks: Iterable[Curves], redraws: Counter[str], settings: dict[str, Any]) -> Iterator[Curves]:
    """Blocks as they are; how many of their curves were drawn again, and in how many draws, is counted and kept."""
    for curves in blocks:
        again = curves.known("redraw_count")
        redraws.update(curves=int((again > 0).sum()), draws=int(again.sum()))
        settings["redrawn"] = dict(redraws)
        yield curves


def band(
    bundle: Bundle,
    out: Out,
    like: Annotated[Path, typer.Option(metavar="DIR", help="A band for each curve of this set, with its conditions.")],
    reference: Reference = None,
    draws: Annotated[int, typer.Option(help="Curves drawn for each.")] = 100,
    level: Annotated[float, typer.Option(help="Share of them within the band at each point.")] = 0.9,
    steps: SamplerSteps = None,
    seed: Seed = 0,
    label: Labels = None,
    cells: Cells = None,
    step_type: StepTypes = None,
    as_json: Json = False,
) -> None:
    """Draw a band for each curve of a set: where a curve of its conditions lies; and say how much of the real one is within."""
    from faultcell import bands, plotting
    from faultcell.augmenter import Augmenter
    from faultcell.curves.conditions import conditions_of

    real = read(like, label=label, cells=cells, step_type=step_type)
    earlier = read_as_told(reference) if reference else None
    model = Augmenter.load(bundle)
    with progress() as tick:
        found = bands.draw_band(
            model,
            conditions_of(real),
            draws=draws,
            level=level,
            seed=seed,
            steps=steps,
            reference=earlier,
            on_chunk=lambda n, m: tick("drawing", n, m),
        )
    covered = None if real.has_generated else found.coverage(real)
    settings = {"verb": "band", "model_sha256": model.sha256, "draws": draws, "level": level, "seed": seed}
    bands.write(found, out, config=settings, figure=plotting.band_figure(found, None if real.has_generated else real))
    facts: dict[str, object] = {"out": str(out), "bands": len(found), "level": level, "draws": draws}
    text = f"{many(len(found), 'band')} in {out}"
    if covered is not None:
        facts |= {"coverage": covered.all, "coverage_by_cell": covered.by_cell}
        text += f"; {100 * covered.all:.1f} % of the points of the real curves lie within (asked for: {100 * level:g} %)"
    say(facts, as_json, text)


def check_one_way(like: Path | None, fault: str | None, reference: Path | None) -> None:
    """Raise ConditionError where it is not clear what is to be drawn."""
    if (like is None) == (fault is None):
        raise ConditionError("sample takes either --fault (with --peak-deviation-volt ...) or --like DIR")
    if reference is not None and like is None:
        raise ConditionError("--reference needs --like: earlier curves help only where cell and cycle are known")


def asked_for(
    fault: str, count: int, values: dict[str, Any], *, severities: Mapping[str, float], step: str | None = None
) -> list[Condition]:
    """The conditions of `sample --fault`."""
    from faultcell.curves.condition import grid
    from faultcell.curves.faults import fault as known_fault
    from faultcell.curves.faults import severity_named
    from faultcell.curves.schema import NORMAL, REST, SEVERITY

    if fault == NORMAL:
        return grid(fault, **values) * count
    kind = known_fault(fault)  # before its depth is asked for
    if step == REST:
        raise ConditionError(
            "a model draws charges and discharges: shorts at rest are drawn by augment --normal DIR --faults DIR"
        )
    values = {**values, **severities}
    for name in values:
        if name in (*SEVERITY, *severities):
            severity_named(name, fault)
    if kind.side is not None and "peak_deviation_volt" not in values:
        raise ConditionError(f"sample --fault {fault} needs --peak-deviation-volt: how far beyond the limit, in V")
    if kind.side is None and not set(values) & {one.name for one in kind.drivers}:
        named = " or ".join(f"--severity {one.name}={one.typical:g}" for one in kind.drivers)
        raise ConditionError(f"sample --fault {fault} needs how severe it is: {named} ({kind.drivers[0].meaning})")
    if kind.side is not None:
        values = {"repetition_count": 1, **values}
    return [replace(condition, step_type=step) for condition in grid(fault, **values)] * count
