"""Bundles, checkpoints and files of results made to do harm; the sums of the bundles are right."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil

import numpy as np
import torch
from safetensors.torch import load_file, save

from faultcell.bundle import store
from faultcell.diagnosis.gain import Fit
from faultcell.report.arms import MEASURES
from faultcell.scoring import Score, SetScore

DEEP = "[" * 200_000
FEW = (None, "x", -1, 10**9, float("nan"), [])


def leaves(value, path=()):
    """Where values stand in nested lists and dicts."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, part in inner:
        yield from leaves(part, (*path, key))


def changed(value, path, new):
    """The same with another value there."""
    if not path:
        return new
    other = copy.deepcopy(value)
    part = other
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = new
    return other


def without(value, path):
    other = copy.deepcopy(value)
    part = other
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    return other


# --- bundles


def copied(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def signed(folder, names=store.FILES):
    (folder / store.SUMS).write_text(store.sums(folder, names))


def configs(config, *, wrong):
    """(name, text of config.json): every value replaced in turn."""
    for path in leaves(config):
        if path and not (path[0] == "profile" and len(path) > 5):
            spot = ".".join(map(str, path))
            if isinstance(path[-1], str):
                yield f"no {spot}", json.dumps(without(config, path))
            for new in wrong:
                yield f"{spot} = {str(new)[:20]}", json.dumps(changed(config, path, new))
    for name, spot, new in (
        ("widths of a billion", ("net", "widths"), [10**9] * 3),
        ("a million levels", ("net", "widths"), [16] * 10**6),
        ("wide within bounds", ("net", "widths"), [4096] * 8),
        ("heads that do not divide", ("net", "heads"), 7),
        ("a grid of a billion", ("grid", "head"), 10**9),
        ("the largest grid", ("grid", "head"), 2048),
        ("a patch that does not divide", ("net", "patch"), 1000),
        ("more attention than levels", ("net", "attention"), [True] * 8),
        ("less attention than levels", ("net", "attention"), []),
        ("time without end", ("diffusion", "num_train_timesteps"), 10**12),
        ("steps without end", ("diffusion", "num_inference_steps"), 10**9),
    ):
        yield name, json.dumps(changed(config, ("config", *spot), new))
    yield "many faults", json.dumps(changed(config, ("profile", "faults"), [f"f{n}" for n in range(10**6)]))
    yield "a fault twice", json.dumps(changed(config, ("profile", "faults"), config["profile"]["faults"] * 2))
    yield "deep", '{"config": ' + DEEP
    yield "deep and whole", '{"config": ' + "[" * 90_000 + "]" * 90_000 + "}"
    yield "a list", "[]"
    yield "a number", "7"
    yield "no JSON", "{"
    yield "digits without end", '{"format": ' + "9" * 10**6 + "}"


def tensor_files(content, *, large):
    """(name, bytes of model.safetensors)."""
    length = int.from_bytes(content[:8], "little")
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = next(key for key in header if key.endswith("weight"))

    def packed(header, body=body):
        text = json.dumps(header).encode() if isinstance(header, dict) else header
        return len(text).to_bytes(8, "little") + text + body

    for size in (0, 1, length - 1, length + 1, 2**31, 2**63, 2**64 - 1, 100_000_000):
        yield f"a header of {size}", size.to_bytes(8, "little") + content[8:]
    spot = header[name]
    begin, end = spot["data_offsets"]
    for what, new in {
        "offsets that overlap": {"data_offsets": [0, end - begin]},
        "offsets beyond": {"data_offsets": [2**62, 2**62 + end - begin]},
        "offsets turned": {"data_offsets": [end, begin]},
        "negative offsets": {"data_offsets": [-1, end]},
        "another type": {"dtype": "F16"},
        "an unknown type": {"dtype": "F8192"},
        "a shape that overflows": {"shape": [2**32, 2**32]},
        "a shape of many": {"shape": [1] * 100_000},
        "a negative shape": {"shape": [-1, -1]},
        "another shape": {"shape": [int(np.prod(spot["shape"]))]},
        "a deep shape": {"shape": [[1]]},
    }.items():
        yield what, packed({**header, name: {**spot, **new}})
    yield "a path for a name", packed({("../../etc/passwd" if key == name else key): value for key, value in header.items()})
    yield "a name without end", packed({("x" * 10**6 if key == name else key): value for key, value in header.items()})
    yield "a deep header", packed(DEEP.encode())
    yield "a header that is a list", packed(b"[]")
    yield (
        "many tensors",
        packed(
            {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(10**6 if large else 10**5)}, b""
        ),
    )
    yield "a tensor of a gigabyte", (packed({"t": {"dtype": "F32", "shape": [2**28], "data_offsets": [0, 2**30]}}, b""))


def tensor_changes(path):
    """(name, bytes): tensors left out, added, and filled with what is no number."""
    tensors = load_file(path)
    for name, value in tensors.items():
        yield f"no {name}", save({key: other for key, other in tensors.items() if key != name})
        if value.is_floating_point() and value.numel():
            for new in (float("nan"), float("inf")):
                yield f"{new} in {name}", save({**tensors, name: torch.full_like(value, new)})
            yield f"half of {name}", save({**tensors, name: value.half()})
        elif value.numel() and value.dtype == torch.int64:
            yield f"large numbers in {name}", save({**tensors, name: torch.full_like(value, 2**40)})
            yield f"negative numbers in {name}", save({**tensors, name: torch.full_like(value, -5)})
        yield f"{name} with one more dimension", save({**tensors, name: value[None].contiguous()})
        yield f"{name} empty", save({**tensors, name: value.flatten()[:0]})
    yield "one more", save({**tensors, "network.extra": torch.zeros(3)})
    yield "no tensor", save({})
    fewer = {
        key: (value[:0] if key.startswith("neighbours.") and key != "neighbours.scales" else value)
        for key, value in tensors.items()
    }
    yield "no known curve", save(fewer)


def further_files(folder, *, large):
    """(name, what is done to a copied bundle before it is signed, and after)."""

    def written(name, content):
        return lambda: (folder / name).write_bytes(content)

    def sparse(name, size):
        return lambda: os.truncate(folder / name, size)

    yield "many metrics", written(store.METRICS, b'{"step": 1}\n' * (4_000_000 if large else 10**6)), None
    yield "deep metrics", written(store.METRICS, DEEP.encode()), None
    yield "metrics that are lists", written(store.METRICS, b"[]\n[1]\n"), None
    yield "metrics without end", sparse(store.METRICS, 2**31 if large else 2**26), None
    yield "a card that is no text", written(store.CARD, b"\xff\xfe\x00"), None
    yield "a card without end", sparse(store.CARD, 2**31 if large else 2**26), None
    yield "a deep schedule", written(store.SCHEDULER, DEEP.encode()), None
    yield "a configuration without end", sparse(store.CONFIG, 2**31 if large else 2**26), None
    yield "a model without end", sparse(store.MODEL, 3 * 2**30 if large else 2**26), None
    yield "sums without end", None, sparse(store.SUMS, 8 * 2**30)
    yield "sums of many", None, written(store.SUMS, b"0" * 64 + b"  x\n" + b"a  b\n" * 2_000_000)
    yield "sums that are no text", None, written(store.SUMS, b"\xff" * 1000)


def checkpoint_files(tensors, key):
    """(name, tensors or None, text of state.json)."""
    sound = json.dumps({"key": key, "step": 3, "metrics": []})
    yield "sound", tensors, sound
    for text in ("", "[]", "{}", DEEP, '{"key": "key"}', "nul"):
        yield f"state {text[:10]}", tensors, text
    for step in (-1, "x", None, 1e308, [], 2**70):
        yield f"step {step}", tensors, json.dumps({"key": key, "step": step, "metrics": []})
    for metrics in (7, "x", [1], None):
        yield f"metrics {metrics}", tensors, json.dumps({"key": key, "step": 3, "metrics": metrics})
    for name, value in tensors.items():
        yield f"no {name}", {other: kept for other, kept in tensors.items() if other != name}, sound
        yield f"{name} empty", {**tensors, name: value.flatten()[:0]}, sound
        if name.startswith("ema.") and value.is_floating_point():
            yield f"nan in {name}", {**tensors, name: torch.full_like(value, float("nan"))}, sound
    yield "a moment of nobody", {**tensors, "optimizer.denoise.99999.exp_avg": torch.zeros(3)}, sound
    yield "a moment without number", {**tensors, "optimizer.denoise.x.exp_avg": torch.zeros(3)}, sound
    yield "far too much", {**tensors, "x": torch.zeros(2**26)}, sound


def sign_checkpoint(folder):
    (folder / store.SUMS).write_text(store.sums(folder, store.STATE))


# --- results


def score(kind):
    return {name: 5 if name == "curves" else 0.25 for name in kind.model_fields}


def results():
    """Sound files of results by name: what evaluate, classify and study write."""
    one = {"all": score(Score), "by_label": {"overdischarge": score(Score)}, "by_cell": {"A": score(Score)}}
    one |= {"by_severity": {"0.1 to 0.3 V": score(Score)}, "worst": "0.1 to 0.3 V", "sets": {"all": score(SetScore)}}
    scores = {"protocol": "p", "pairing": "q", "real_sha256": "r", "sources": {"synthetic": one, "replay": one}}
    place = {"task": "overdischarge", "view": "whole", "arm": "real"}
    mean = {"mean": 0.9, "low": 0.8, "high": 0.95}
    fit = dict.fromkeys(Fit.model_fields, 0.9) | {**place, "classifier": "cnn", "seed": 0, "added": 1}
    sizes = {"train_normal": 1, "train_fault": 1, "test_normal": 1, "test_fault": 1, "added": 1}
    gain = {
        "protocol": "p",
        "tasks": [{"task": "overdischarge", "view": "whole", **sizes}],
        "rows": [fit],
        "summary": [
            {**place, "arm": arm, "classifier": "mean of all six", "seeds": 2, "measures": dict.fromkeys(MEASURES, mean)}
            for arm in ("real", "diffusion")
        ],
        "tests": [{"task": "t", "view": "v", "measure": "recall", "arm": "a", "against": "b", "difference": mean, "p": 0.1}],
        "notes": ["a note"],
    }
    study = {
        "version": "0",
        "config": {"seed": 1},
        "data": {"learnt from": "7 curves"},
        "labels": ["overdischarge"],
        "protocols": {"fidelity": "p"},
        "tasks": [{"task": "overdischarge"}],
        "worst": {"diffusion": None},
        "pearson": [],
        "findings": {"fidelity": ["a finding"]},
        "limits": ["a limit"],
    }
    return {"scores": scores, "gain": gain, "study": study}


def result_files(found, *, wrong):
    """(name, bytes)."""
    for path in leaves(found):
        spot = ".".join(map(str, path)) or "all"
        if path and isinstance(path[-1], str):
            yield f"no {spot}", json.dumps(without(found, path)).encode()
        for new in wrong:
            yield f"{spot} = {str(new)[:20]}", json.dumps(changed(found, path, new)).encode()
    text = json.dumps(found)
    yield "deep", DEEP.encode()
    yield "deep and whole", b"[" * 90_000 + b"]" * 90_000
    yield "deep inside", text.replace('"p"', "[" * 50_000 + "]" * 50_000, 1).encode()
    yield "deep dicts", b'{"a":' * 100_000
    yield "digits without end", text.replace("0.25", "9" * 10**6, 1).encode()
    yield "large exponents", text.replace("0.25", "1e99999", 1).replace("0.9", "1e99999", 1).encode()
    yield "lists of lists", b"[" + b"[]," * (4_000_000) + b"[]]"
    yield "lists without end", b"[" + b"[]," * (2**24) + b"[]]"
    yield "groups just few enough", b"[" + b"[]," * 499_000 + b"[]]"
    yield "values just few enough", b"[" + b'"ab",' * 2_999_000 + b"0]"
    yield "nothing", b""
    yield "not text", b"\xff\xfe\x00\x01"
    yield "UTF-16", text.encode("utf-16")
    yield "BOM", text.encode("utf-8-sig")


def digest(content):
    return hashlib.sha256(content).hexdigest()
