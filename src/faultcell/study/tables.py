"""The results of a study's jobs as flat tables: one file a question, one row a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from faultcell.curves.curves import Curves
from faultcell.diagnosis.gain import Gain
from faultcell.study.jobs import Place, Result, few_of, slug
from faultcell.study.pearson import waveforms
from faultcell.study.plan import DIFFUSION, PAPER, StudyConfig, Variant, defaults

# Rows of `evaluate` that stand beside every generator, in the order a table shows them.
FLOOR, NOISE = "floor", "noise"
GROUPS = ("by_label", "by_severity", "by_cell")
SHOWN = 300  # curves of each source in the pictures of the two-dimensional embeddings

FOUND = {
    **dict.fromkeys(("task", "view", "arm", "classifier"), pl.String),
    "seed": pl.Int64,
    "severity": pl.String,
    **dict.fromkeys(("low", "high"), pl.Float64),
    **dict.fromkeys(("faults", "found_at_1_percent", "found_at_0_1_percent"), pl.Int64),
}


def fidelity(adapted: Mapping[str, Result], cheap: Mapping[str, Result]) -> pl.DataFrame:
    """Paired scores: one row for each source and group of curves."""
    rows = [
        {"source": name, "group": group, "name": part, **score}
        for name, source in _sources(adapted, cheap)
        for group, part, score in _parts(source)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def splits(each: Sequence[tuple[Mapping[str, Result], Mapping[str, Result]]]) -> pl.DataFrame:
    """Paired scores of each fault in every split: one row for each split, source and fault."""
    rows = [
        {"split": number, "source": name, "name": part, **score}
        for number, (adapted, cheap) in enumerate(each)
        for name, source in _sources(adapted, cheap)
        for part, score in source["by_label"].items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def sets(adapted: Mapping[str, Result], cheap: Mapping[str, Result]) -> pl.DataFrame:
    """Scores of curves as sets: one row for each source and fault."""
    rows = [
        {"source": name, "name": part, **score}
        for name, source in _sources(adapted, cheap)
        for part, score in source["sets"].items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def worst(adapted: Mapping[str, Result], cheap: Mapping[str, Result]) -> dict[str, str | None]:
    """The severity stratum in which each source is worst."""
    return {name: source["worst"] for name, source in _sources(adapted, cheap)}


def _sources(adapted: Mapping[str, Result], cheap: Mapping[str, Result]) -> Iterator[tuple[str, Result]]:
    """The floor, the generators, the cheap sources, noise."""
    beside = adapted[DIFFUSION]["scores"]["sources"]
    if FLOOR in beside:
        yield FLOOR, beside[FLOOR]
    for name, found in (*adapted.items(), *cheap.items()):
        yield name, found["scores"]["sources"]["synthetic"]
    yield NOISE, beside[NOISE]


def _parts(source: Result) -> Iterator[tuple[str, str, Result]]:
    yield "all", "all", source["all"]
    for group in GROUPS:
        for part, score in source[group].items():
            yield group.removeprefix("by_"), part, score


def ablations(config: StudyConfig, plan: list[Variant], *, results: Mapping[str, Result], few: int) -> pl.DataFrame:
    """One row for each question, variant and fault; the study's own model answers every question first."""

    def own(group: str) -> Result:
        found: Result = results[PAPER if group.startswith(PAPER) else DIFFUSION]["scores"]["sources"]["synthetic"]
        return found

    rows = [
        {"question": group, "variant": name, "own": True, "few": few, "seconds": None, **score}
        for group, name in defaults(config).items()
        if any(variant.group == group for variant in plan)
        for score in _by_label(own(group))
    ]
    for variant in plan:
        found = results[slug(f"variant {variant.name}")]
        head = {"question": variant.group, "variant": variant.name, "own": False}
        cost = {"few": found["few"], "seconds": found["seconds"]}
        rows += [{**head, **cost, **score} for score in _by_label(found["scores"]["sources"]["synthetic"])]
    return pl.DataFrame(rows, infer_schema_length=None)


def epochs(own: Result) -> pl.DataFrame:
    """Scores of what the diffusion model draws after some steps of fine-tuning: one row for each step and fault."""
    rows = [
        {"step": shot["step"], **score}
        for shot in own["snapshots"]
        for score in _by_label(shot["scores"]["sources"]["synthetic"])
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _by_label(source: Result) -> Iterator[dict[str, Any]]:
    return ({"label": label, **score} for label, score in (("all", source["all"]), *source["by_label"].items()))


def cost(base: Mapping[str, Result], adapted: Mapping[str, Result]) -> pl.DataFrame:
    """What each generator costs: steps, epochs and seconds of both trainings, and of a drawn curve."""
    rows = []
    for name, found in adapted.items():
        before, after = base[slug(f"{name} base")], found["cost"]
        rows.append(
            {
                "generator": name,
                "parameters": before["parameters"],
                **{f"pretrain_{part}": before[part] for part in ("steps", "epochs", "seconds")},
                **{f"finetune_{part}": after[part] for part in ("steps", "epochs", "seconds")},
                "milliseconds_per_curve": 1000 * after["seconds_per_curve"],
            }
        )
    return pl.DataFrame(rows)


def classifiers(gain: Gain) -> dict[str, pl.DataFrame]:
    """Every fit, what each finds by severity, their means over seeds, and the paired tests."""
    summary = [
        {
            "task": row.task,
            "view": row.view,
            "arm": row.arm,
            "classifier": row.classifier,
            "measure": measure,
            **found.model_dump(),
        }
        for row in gain.summary
        for measure, found in row.measures.items()
    ]
    place = ("task", "view", "arm", "classifier", "seed")
    found = [
        {**{name: getattr(row, name) for name in place}, **one.model_dump()} for row in gain.rows for one in row.by_severity
    ]
    tests = [{**row.model_dump(exclude={"difference"}), **row.difference.model_dump()} for row in gain.tests]
    return {
        "fits": gain.to_polars(),
        "found": pl.DataFrame(found, schema=FOUND) if found else pl.DataFrame(schema=FOUND),
        "gain": pl.DataFrame(summary, infer_schema_length=None),
        "tests": pl.DataFrame(tests, infer_schema_length=None),
    }


def embedding(place: Place, test: Curves, *, drawn: Mapping[str, Curves]) -> pl.DataFrame:
    """Real and generated curves in two dimensions, by PCA and by t-SNE, each fault apart, over the same curves."""
    few = few_of(place)
    return pl.concat(
        _embedded(label, test, others={"few": few, **drawn}, seed=place.config.seed)
        for label in sorted(test.labels)
        if test.select(label=[label]).halfcycles.height >= 3
    )


def _embedded(label: str, test: Curves, *, others: Mapping[str, Curves], seed: int) -> pl.DataFrame:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rng, parts, origin = np.random.default_rng(seed), [], []
    for name, curves in (("real", test), *others.items()):
        chosen = curves.select(label=[label])
        rows = rng.permutation(len(chosen))[:SHOWN]
        volts = waveforms(chosen.take(sorted(rows.tolist())))
        parts.append(volts)
        origin += [name] * len(volts)
    volts = np.concatenate(parts)
    centred = (volts - volts.mean(axis=0)) / volts.std()
    reduced = PCA(n_components=min(20, *centred.shape), random_state=seed).fit_transform(centred)
    near = TSNE(perplexity=min(30.0, (len(volts) - 1) / 3), random_state=seed, init="pca").fit_transform(reduced)
    frames = [
        pl.DataFrame({"label": label, "method": method, "source": origin, "x": points[:, 0], "y": points[:, 1]})
        for method, points in (("PCA", reduced[:, :2]), ("t-SNE", near))
    ]
    return pl.concat([encoder.cast({"x": pl.Float64, "y": pl.Float64}) for encoder in frames])


def save(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Each table as `NAME.parquet`."""
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
