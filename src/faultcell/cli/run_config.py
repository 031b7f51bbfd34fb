"""`--config run.toml`: every knob of `Config` from a file, and `--print-config`, which writes one to begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from faultcell.errors import ConditionError, meant

if TYPE_CHECKING:
    from pydantic import BaseModel

    from faultcell.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML with knobs of the model (see train --print-config); options win."),
]


def _print(ctx: typer.Context, value: object) -> Any:
    """Print once both are known, whichever stands first: the preset, and whether to print."""
    known = ctx.meta.setdefault(__name__, {})
    known["asked" if isinstance(value, bool) else "preset"] = value
    if len(known) == 2 and known["asked"] and not ctx.resilient_parsing:
        print(printed(str(known["preset"])), end="")
        raise typer.Exit
    return value


TrainPreset = Annotated[
    str,
    typer.Option(
        "--preset", is_eager=True, callback=_print, help="default, or paper: the paper's model, without anything of ours."
    ),
]
PrintConfig = Annotated[
    bool,
    typer.Option(
        "--print-config", is_eager=True, callback=_print, help="Print every knob of the preset as TOML, for --config."
    ),
]


def printed(preset: str) -> str:
    """Every knob of a preset as TOML, with what it does; what is not set is a comment."""
    from pydantic import BaseModel

    from faultcell.cli.common import check
    from faultcell.config import Config, FinetuneConfig
    from faultcell.presets import PRESETS

    check("--preset", preset, tuple(PRESETS))
    config = PRESETS[preset]()
    config = config.model_copy(update={"finetune": config.finetune or FinetuneConfig()})
    values = {name: (getattr(config, name), field.description) for name, field in Config.model_fields.items()}
    lines = [f"# Every knob, as preset {preset} has it; leave out what shall stay so."]
    for name, (value, about) in values.items():  # a key after a table would belong to the table
        lines += [] if isinstance(value, BaseModel) else _line(name, value, about)
    for name, (value, _) in values.items():
        lines += ["", f"[{name}]", *_section(value)] if isinstance(value, BaseModel) else []
    return "\n".join(lines) + "\n"


def _section(config: BaseModel) -> Iterator[str]:
    for name, field in type(config).model_fields.items():
        yield from _line(name, getattr(config, name), field.description)


def _line(name: str, value: object, about: str | None) -> Iterator[str]:
    """A knob, under what it does. JSON's numbers, texts, truths and arrays are TOML's."""
    if about:
        yield f"# {about}"
    yield f"# {name} =" if value is None else f"{name} = {json.dumps(value)}"


def config_of(file: Path | None, *, preset: str = "default", base: Config | None = None) -> Config:
    """The knobs of a preset, with those of a file in their place.

    Args:
        file: TOML; None for none.
        preset: what the file changes.
        base: the same, where it is no preset.

    Raises:
        DataError: the file cannot be read, or is no TOML.
        ConditionError: it has a knob that there is none of, or a value that a knob cannot take.
    """
    from pydantic import ValidationError

    from faultcell.config import Config
    from faultcell.files.bounded.toml_file import read_toml
    from faultcell.presets import PRESETS

    base = base or PRESETS[preset]()
    if file is None:
        return base
    whole = base.model_dump()
    for name, value in read_toml(file, example="[train]").items():
        _refuse_unknown(file, name, Config.model_fields)
        if not isinstance(value, Mapping):
            whole[name] = value
            continue
        section = _section_of(file, name)
        for knob in value:
            _refuse_unknown(file, knob, section.model_fields, within=f"{name}.")
        freed = {"epochs": None} if "steps" in value and "epochs" not in value else {}
        whole[name] = {**(whole[name] or section().model_dump()), **freed, **value}
    try:
        return Config.model_validate(whole)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = where if isinstance(first["input"], dict) else f"{where} = {first['input']!r}"
        raise ConditionError(f"{file}: {said}: {first['msg'].removeprefix('Value error, ')}".replace(": : ", ": ")) from error


def left_open(ctx: typer.Context, option: str) -> bool:
    """Whether an option was not given, so that a file may say it."""
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "DEFAULT"


def _section_of(file: Path, name: str) -> type[BaseModel]:
    from pydantic import BaseModel

    from faultcell.config import Config

    kind = Config.model_fields[name].annotation
    for found in (kind, *get_args(kind)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    raise ConditionError(f"{file}: {name} is one knob, found a table [{name}]")


def _refuse_unknown(file: Path, name: str, known: Mapping[str, object], *, within: str = "") -> None:
    if name not in known:
        raise ConditionError(f"{file}: there is no knob '{within}{name}'{meant(name, tuple(known))}")
