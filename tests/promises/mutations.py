"""What is done to files: to their bytes, to their text, and to the numbers before they are written. All from a seed."""

from __future__ import annotations

import numpy as np
import polars as pl

# --- bytes


def truncated(content, part):
    """The first `part` 64ths."""
    return content[: len(content) * part // 64]


def flipped(content, seed):
    """One to four bytes changed anywhere."""
    rng = np.random.default_rng(seed)
    changed = bytearray(content)
    for place in rng.integers(len(changed), size=rng.integers(1, 5)):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


def garbled(content, seed):
    """A block zeroed, left out, repeated, or overwritten at random."""
    rng = np.random.default_rng(seed)
    start = int(rng.integers(len(content)))
    stop = min(len(content), start + int(rng.integers(1, max(2, len(content) // 4))))
    block = content[start:stop]
    kind = seed % 4
    if kind == 3:
        other = rng.integers(256, size=len(block), dtype=np.uint8).tobytes()
    else:
        other = (bytes(len(block)), b"", block + block)[kind]
    return content[:start] + other + content[stop:]


# --- text: what programs and people do to it on the way


def separated(text, separator):
    """Another separator throughout."""
    found = max(("\t", ";", ","), key=text.count)
    return text.replace(found, separator)


def with_commas(text):
    """Decimal commas; the cells parted by something else."""
    if max(("\t", ";", ","), key=text.count) == ",":
        text = text.replace(",", ";")
    head, _, below = _parted(text)
    return head + below.replace(".", ",")


def twice(text, name):
    """A column once more under the same name, with other numbers."""
    separator = max(("\t", ";", ","), key=text.count)
    lines = text.splitlines()
    at = next(n for n, line in enumerate(lines) if name in line.split(separator))
    done = [
        line + separator + (name if n == at else "1.5") if n >= at and line.strip() else line for n, line in enumerate(lines)
    ]
    return "\n".join(done) + "\n"


def _parted(text):
    """What stands above the first line of numbers, and from there on."""
    lines = text.splitlines(keepends=True)
    at = next(
        (n for n, line in enumerate(lines) if n and sum(char.isdigit() for char in line) > len(line) / 3 and "." in line),
        len(lines),
    )
    return "".join(lines[:at]), "", "".join(lines[at:])


ENCODINGS = {
    "BOM": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-16 that breaks off": lambda text: text.encode("utf-16")[:-1],
    "cp1252": lambda text: text.encode("cp1252", errors="replace"),
    "gb18030": lambda text: text.encode("gb18030"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "line ends of Windows": lambda text: text.replace("\r\n", "\n").replace("\n", "\r\n").encode(),
    "line ends of old Macs": lambda text: text.replace("\r\n", "\n").replace("\n", "\r").encode(),
}
# Those in which the same stands, for every format of text.
SAME = ("BOM", "cp1252", "line ends of Windows")


# --- numbers: a recording in s, V and A is written as if these were its units

ROW = 200  # under load


def at_row(column, value):
    return lambda t: t.with_columns(pl.when(pl.int_range(pl.len()) == ROW).then(pl.lit(value)).otherwise(column).alias(column))


def scaled(column, factor, share=1.0):
    inside = pl.int_range(pl.len()) >= (1 - share) * pl.len()
    return lambda t: t.with_columns(pl.when(inside).then(factor * pl.col(column)).otherwise(column).alias(column))


def swapped(t):
    """Two rows the wrong way round."""
    order = np.arange(t.height)
    order[[ROW, ROW + 1]] = order[[ROW + 1, ROW]]
    return t[order]


V, A, S = "voltage_volt", "current_ampere", "test_time_second"
# kind of damage -> what is done -> (how, what must come of it)
NUMBERS = {
    "unit mixes": {
        "mV as V": (scaled(V, 1000.0), "refused"),
        "mV as V in the second half": (scaled(V, 1000.0, 0.5), "refused"),
        "mV as V in one row": (at_row(V, 3700.0), "refused"),
        "mA as A": (scaled(A, 1000.0), "refused"),
        "mA as A in the second half": (scaled(A, 1000.0, 0.5), "refused"),
        "A as mA": (scaled(A, 1e-3), "refused"),
        "V as mV": (scaled(V, 1e-3), "told"),
        "h as s": (scaled(S, 1 / 3600), "refused"),
        "min as s": (scaled(S, 1 / 60), "refused"),
        "ms as s": (scaled(S, 1000.0), "refused"),
    },
    "backwards time": {
        "two rows swapped": (swapped, "refused"),
        "reversed": (lambda t: t.reverse(), "refused"),
        "back to zero in the last row": (
            lambda t: t.with_columns(pl.when(pl.int_range(pl.len()) < pl.len() - 1).then(S).otherwise(0.0).alias(S)),
            "refused",
        ),
        "starts again": (lambda t: pl.concat([t, t]), "refused"),
    },
    "NaN and inf": {
        f"{value} in {column}": (at_row(column, value), "refused")
        for column in (V, A)
        for value in (float("nan"), float("inf"), -float("inf"), 1e300, None)
    },
    "zero rows": {
        "none": (lambda t: t.clear(), "refused"),
        "one": (lambda t: t[:1], "refused"),
        "two": (lambda t: t[ROW : ROW + 2], "any"),
        "at rest": (lambda t: t[:5], "refused"),
    },
}
