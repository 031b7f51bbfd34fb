"""Damaged files of cyclers: refused in one sentence that names the file, or read as what they are; never anything else.

`docs/reliability.md` has the promise. Each reader and each kind of damage in a sample here; all of it under the mark `long`.
"""

from __future__ import annotations

import io
from collections import Counter

import mutations
import polars as pl
import pytest
from fuzz import Case, Worker

import samples
from recorded import REAL

RATED = {"lower": 2.7, "upper": 4.2, "nominal_capacity_ah": 2.0}
TEXTS = (*samples.LAYOUTS, samples.units_below, samples.chinese, samples.segments, samples.bdf)
# The name of the voltage in each layout whose columns can stand twice.
VOLTAGES = {"arbin": "Voltage(V)", "landt": "Voltage/V", "pec": "Voltage (V)", "bdf": "Voltage / V", "plain": "U [V]"}
LOADERS = ("ingest", "ingest_into")


@pytest.fixture(scope="module")
def worker():
    with Worker() as child:
        yield child


class Cases:
    """Makes damaged files in a folder, one at a time, and the cases that read them."""

    def __init__(self, folder, worker):
        self.folder, self.worker = folder, worker
        self.made, self._sound = 0, {}

    def of(self, content, name, kind, *, loader, options=None, expect="any", sound=None):
        """A case of these bytes; `sound` are those of the undamaged file."""
        self.made += 1
        path = self.folder / f"damaged{self.made % 8}.dat"
        path.write_bytes(content)
        known = self.sound_of(sound, loader, options or {}) if expect in ("same", "told") else ("", ())
        return Case(name, kind, loader, str(path), options or {}, expect, known)

    def sound_of(self, content, loader, options):
        key = (hash(content), loader, str(options))
        if key not in self._sound:
            path = self.folder / "sound.dat"
            path.write_bytes(content)
            found = self.worker.run(Case("sound", "none", loader, str(path), options))
            assert found.what == "data", found.words
            self._sound[key] = (found.digest, found.notes)
        return self._sound[key]


@pytest.fixture
def cases(tmp_path, worker):
    return Cases(tmp_path, worker)


def binaries(folder):
    """Files that are no text: name -> (bytes, options)."""
    table = pl.read_csv(samples.arbin(samples.sampled()).encode())
    samples.workbook(folder / "x.xlsx", {"Info": [["TEST"]], "Channel_1-008": samples.as_rows(table)})
    found = {"xlsx": ((folder / "x.xlsx").read_bytes(), RATED)}
    for name, codec in (("parquet", "zstd"), ("snappy parquet", "snappy")):
        target = io.BytesIO()
        samples.machine_names(samples.sampled()).write_parquet(target, compression=codec)
        found[name] = (target.getvalue(), RATED)
    found["mat"] = (samples.mat_file(folder / "x.mat").read_bytes(), {})
    for name in ("neware_TestFile.nda", "neware_M50T.ndax"):
        path = REAL / "raw" / name
        if path.is_file():
            found[name] = (path.read_bytes(), {"lower": 2.5, "upper": 4.2, "nominal_capacity_ah": 4.8})
    return found


def texts():
    table = samples.sampled()
    return {layout.__name__: layout(table).encode() for layout in TEXTS}


def check(worker, tally, made):
    count, wrong = worker.faults(made)
    for kind, number in count.items():
        tally(f"damaged input: {kind}", number, lost=len(wrong.get(kind, ())))
    print(f"{Counter(count)}: worst {worker.worst_second:.1f} s, {worker.worst_byte / 1e6:.0f} MB")
    said = [line for lines in wrong.values() for line in lines]
    assert not said, f"{len(said)} of {sum(count.values())}:\n" + "\n".join(said[:40])


# --- bytes


def bytes_cases(cases, name, content, options, *, parts, flips, blocks):
    for part in parts:
        cut, what = mutations.truncated(content, part), f"{name} {part}/64"
        yield cases.of(cut, what, "truncations", loader=LOADERS[part % 2], options=options)
    for seed in range(flips):
        changed, what = mutations.flipped(content, seed), f"{name} flip {seed}"
        yield cases.of(changed, what, "byte flips", loader=LOADERS[seed % 2], options=options)
    for seed in range(blocks):
        changed, what = mutations.garbled(content, seed), f"{name} block {seed}"
        yield cases.of(changed, what, "garbled blocks", loader=LOADERS[seed // 4 % 2], options=options)


def test_cut_off_and_changed_files_in_a_sample(cases, worker, tally, tmp_path):
    every = {name: (content, RATED) for name, content in texts().items()} | binaries(tmp_path)

    def made():
        for n, (name, (content, options)) in enumerate(every.items()):
            slow = name not in texts()  # read in a process of its own, most of them
            parts = (0, 40) if slow else (0, 1, 17 + n, 63)
            yield from bytes_cases(cases, name, content, options, parts=parts, flips=2 if slow else 4, blocks=1 if slow else 3)

    check(worker, tally, made())


@pytest.mark.long
@pytest.mark.parametrize("layout", TEXTS, ids=lambda layout: layout.__name__)
def test_cut_off_and_changed_text(cases, worker, tally, layout):
    content = layout(samples.sampled()).encode()
    check(worker, tally, bytes_cases(cases, layout.__name__, content, RATED, parts=range(64), flips=300, blocks=100))


@pytest.mark.long
@pytest.mark.parametrize("name", ["xlsx", "parquet", "snappy parquet", "mat", "neware_TestFile.nda", "neware_M50T.ndax"])
def test_cut_off_and_changed_binary_files(cases, worker, tally, tmp_path, name):
    found = binaries(tmp_path)
    if name not in found:
        pytest.skip(f"no raw/{name} under FAULTCELL_REAL_DATA")
    content, options = found[name]
    check(worker, tally, bytes_cases(cases, name, content, options, parts=range(64), flips=300, blocks=60))


# --- encodings, separators, names


def text_cases(cases, layouts):
    for layout in layouts:
        name, text = layout.__name__, layout(samples.sampled())
        sound = text.encode()

        def made(content, what, kind, expect, name=name, sound=sound):
            for loader in LOADERS:
                yield cases.of(content, f"{name} {what}", kind, loader=loader, options=RATED, expect=expect, sound=sound)

        for what, encode in mutations.ENCODINGS.items():
            ascii_ = text.isascii()
            expect = "same" if what in mutations.SAME and (ascii_ or what != "cp1252") else "any"
            yield from made(encode(text), what, "encodings", expect)
        for separator in (";", "\t", "|", " ", ","):
            yield from made(mutations.separated(text, separator).encode(), f"parted by {separator!r}", "delimiters", "any")
        yield from made(mutations.with_commas(text).encode(), "decimal commas", "decimal commas", "any")
        if name in VOLTAGES:
            yield from made(mutations.twice(text, VOLTAGES[name]).encode(), "a column twice", "duplicate headers", "same")
        head = text[: text.index("\n") + 1]
        for what, content in {
            "nothing": "",
            "blanks": " \n \n",
            "one line": head,
            "half a line": head[: len(head) // 2],
        }.items():
            yield from made(content.encode(), what, "zero rows", "refused")


def test_encodings_delimiters_and_names_in_a_sample(cases, worker, tally):
    check(worker, tally, text_cases(cases, [samples.arbin, samples.biologic, samples.bdf]))


@pytest.mark.long
def test_encodings_delimiters_and_names(cases, worker, tally):
    check(worker, tally, text_cases(cases, TEXTS))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_what_is_legitimate_is_read_to_the_same_curves(cases, worker, tally, separator, encoding):
    """Another separator, decimal commas where no comma parts cells, another encoding: the same recording."""
    made = []
    for layout in (samples.arbin, samples.bdf, samples.plain_names):
        text = layout(samples.sampled()).replace("°", "\N{DEGREE SIGN}")
        for commas in (False, True):
            other = text.replace(",", separator)
            if commas and separator == ",":
                continue
            head, _, below = other.partition("\n")
            other = head + "\n" + (below.replace(".", ",") if commas else below)
            for loader in LOADERS:
                name = f"{layout.__name__} {separator!r} {encoding} {commas}"
                made.append((other.encode(encoding), name, loader, text.encode()))
    check(
        worker,
        tally,
        (
            cases.of(content, name, "legitimate forms", loader=loader, options=RATED, expect="same", sound=sound)
            for content, name, loader, sound in made
        ),
    )


# --- numbers


def number_cases(cases, layouts):
    for layout in layouts:
        sound = layout(samples.sampled()).encode()
        for kind, changes in mutations.NUMBERS.items():
            for what, (change, expect) in changes.items():
                try:
                    content = layout(change(samples.sampled())).encode()
                except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
                    continue  # a layout cannot write such a number
                for loader in LOADERS:
                    name = f"{layout.__name__} {what}"
                    yield cases.of(content, name, kind, loader=loader, options=RATED, expect=expect, sound=sound)


def parquet_of(t):
    target = io.BytesIO()
    samples.machine_names(t).write_parquet(target)
    return Bytes(target.getvalue())


class Bytes(bytes):
    """Bytes that pass for text."""

    def encode(self):
        return bytes(self)


def workbook_of(t):
    target = io.BytesIO()
    samples.workbook(
        target,
        {
            "Channel_1-008": samples.as_rows(
                pl.read_csv(samples.arbin(t).encode(), infer_schema=False).cast(pl.Float64, strict=False)
            )
        },
    )
    return Bytes(target.getvalue())


def test_wrong_numbers_in_a_sample(cases, worker, tally):
    check(worker, tally, number_cases(cases, [samples.arbin, samples.labview, parquet_of]))


@pytest.mark.long
def test_wrong_numbers(cases, worker, tally):
    check(worker, tally, number_cases(cases, (*TEXTS, parquet_of, workbook_of)))
