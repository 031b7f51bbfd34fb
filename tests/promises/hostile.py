"""Files made to do harm: a few kilobytes that say they hold gigabytes, cells at the far end of a sheet, texts without end."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import samples
from strategies import normal_curves

# --- Parquet


def claimed(content, times):
    """The same file with its rows listed many times over: they all lie in the same few pages."""
    meta = pq.read_metadata(io.BytesIO(content))
    one = pq.read_metadata(io.BytesIO(content))
    done = 1
    while done < times:  # doubling
        more = one if done * 2 > times else pq.read_metadata(io.BytesIO(_footed(content, meta)))
        meta.append_row_groups(more)
        done += 1 if more is one else done
    return _footed(content, meta)


def _footed(content, meta):
    target = io.BytesIO()
    meta.write_metadata_file(target)
    footer = target.getvalue()[4:]
    length = int.from_bytes(content[-8:-4], "little")
    return content[: len(content) - 8 - length] + footer


def written(table, **how):
    target = io.BytesIO()
    pq.write_table(table, target, **{"compression": "zstd", "write_page_checksum": True, **how})
    return target.getvalue()


def recorded(rows, **columns):
    """A recording in which nothing happens, but for these columns."""
    same = {
        "test_time_second": np.zeros(rows),
        "voltage_volt": np.full(rows, 3.7),
        "current_ampere": np.full(rows, -2.0),
    }
    return pa.table({**same, **columns})


def lying(content):
    """The same, its footer saying that its pages are small: what is in them is not changed."""
    meta = pq.read_metadata(io.BytesIO(content))
    size = meta.row_group(0).column(0).total_uncompressed_size
    for size in {meta.row_group(0).column(n).total_uncompressed_size for n in range(meta.num_columns)}:
        content = _with_number(content, size, 1000)
    return content


def _with_number(content, old, new):
    """In the footer, a number in Thrift's compact form by another, as long."""
    length = int.from_bytes(content[-8:-4], "little")
    start = len(content) - 8 - length
    before = _varint(2 * old)
    after = _varint(2 * new, len(before))
    return content[:start] + content[start:].replace(before, after)


def _varint(value, width=0):
    out = []
    while True:
        out.append(value & 0x7F)
        value >>= 7
        if not value:
            break
    out += [0] * (width - len(out))
    return bytes([part | 0x80 for part in out[:-1]] + [out[-1]])


def parquet_bombs(*, large):
    """Name -> bytes of a recording; `large` for those of real size."""
    rows = 10**6
    few = written(recorded(rows))
    found = {
        "a billion rows in a few kB": claimed(few, 1000),
        "a trillion rows": claimed(few, 10**6) if large else claimed(few, 5000),
        "a page of half a gigabyte": written(
            pa.table({name: np.zeros(64 * 10**6 if large else 8 * 10**6) for name in recorded(1).column_names}),
            use_dictionary=False,
            data_page_size=2**30,
            write_batch_size=2**27,
        ),
        "a text of a kilobyte a million times": written(recorded(rows, cell_id=_repeated("x" * 2**10, rows))),
        "a text of a megabyte a million times": written(recorded(rows, cell_id=_repeated("x" * 2**20, rows))),
        "a text of 300 MB": written(recorded(2, cell_id=pa.array(["x" * (300 * 2**20 if large else 2**26), "y"]))),
        "lists": written(recorded(5, voltage_volt=pa.array([[1.0, 2.0]] * 5))),
        "a list beside": written(recorded(5, beside=pa.array([[[1.0, 2.0]]] * 5))),
        "structs": written(recorded(5, current_ampere=pa.array([{"a": 1.0}] * 5))),
        "texts for numbers": written(recorded(5, voltage_volt=pa.array(list("abcde")))),
        "bytes for numbers": written(recorded(5, voltage_volt=pa.array([b"\xff\xfe"] * 5))),
        "truth values for numbers": written(recorded(5, voltage_volt=pa.array([True, False, True, None, True]))),
        "dates for numbers": written(recorded(5, current_ampere=pa.array([0, 1, 2, 3, 4], pa.timestamp("us")))),
        "durations for times": written(recorded(5, test_time_second=pa.array([0, 1, 2, 3, 4], pa.duration("us")))),
        "times of day": written(recorded(5, test_time_second=pa.array([0, 1, 2, 3, 4], pa.time64("us")))),
        "decimals": written(recorded(5, voltage_volt=pa.array([1, 2, 3, 4, 5], pa.decimal128(38, 30)))),
        "nothing but nulls": written(recorded(5, voltage_volt=pa.nulls(5))),
        "thousands of columns": written(
            recorded(5, **{f"c{n}": pa.array([0.0] * 5) for n in range(10_000 if large else 3000)})
        ),
        "cycles beyond all numbers": written(recorded(5, cycle_count=pa.array([1e300] * 5))),
        "cycles that are texts": written(recorded(5, cycle_count=pa.array(["one"] * 5))),
        "cycles that are lists": written(recorded(5, cycle_count=pa.array([[1]] * 5))),
        "names that are bytes": written(recorded(5, cell_id=pa.array([b"\xff"] * 5))),
        "names that are no text inside": _no_text(),
        "no columns": written(pa.table({})),
        "no rows": written(recorded(0)),
    }
    found["pages that lie about their size"] = lying(found["a page of half a gigabyte"])
    return found


def _repeated(text, rows):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), pa.array([text]))


def _no_text():
    """A text column with bytes that are no UTF-8."""
    good = written(recorded(5, cell_id=pa.array(["abcdefgh"] * 5)), compression="none", write_page_checksum=False)
    return good.replace(b"abcdefgh", b"abc\xff\xfe\xc0gh")


def set_tables():
    """A sound curve set as Arrow tables."""
    curves = normal_curves(cells=2, cycles=1)
    return curves.timeseries.to_arrow(), curves.halfcycles.to_arrow()


def wrong_columns():
    """(table, name, what in it) for each column of a curve set in turn, given values of every wrong type."""
    timeseries, halfcycles = set_tables()
    for place, table in (("timeseries", timeseries), ("halfcycles", halfcycles)):
        further = ["quality", "synthetic", "seed", "model_sha256"] if place == "halfcycles" else []
        for name in [*table.column_names, *further]:
            for kind, made in WRONG.items():
                other = table.drop_columns([name]) if name in table.column_names else table
                changed = other.append_column(name, made(table.num_rows))
                tables = {"timeseries": timeseries, "halfcycles": halfcycles, place: changed}
                yield f"{place} {name} as {kind}", tables


WRONG = {
    "lists": lambda n: pa.array([[1.0]] * n),
    "structs": lambda n: pa.array([{"a": 1}] * n),
    "bytes": lambda n: pa.array([b"\xff\x00"] * n),
    "texts": lambda n: pa.array(["eine Zahl"] * n),
    "empty texts": lambda n: pa.array([""] * n),
    "truth values": lambda n: pa.array([True] * n),
    "dates": lambda n: pa.array([1] * n, pa.timestamp("us")),
    "durations": lambda n: pa.array([1] * n, pa.duration("us")),
    "nulls": pa.nulls,
    "large numbers": lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    "huge numbers": lambda n: pa.array([1e308] * n),
    "NaN": lambda n: pa.array([float("nan")] * n),
    "inf": lambda n: pa.array([float("inf")] * n),
    "negative numbers": lambda n: pa.array([-1e9] * n),
    "decimals": lambda n: pa.array([1] * n, pa.decimal128(38, 20)),
}

# --- workbooks

_HEAD, _OPEN, _MAIN = '<?xml version="1.0"?>', "http://schemas.openxmlformats.org", "application/vnd.openxmlformats"
_SPREAD, _RELATIONS = f"{_OPEN}/spreadsheetml/2006/main", f"{_OPEN}/officeDocument/2006/relationships"
_RELATED = f'{_HEAD}<Relationships xmlns="{_OPEN}/package/2006/relationships">'


def _related(number, kind, target):
    return f'<Relationship Id="rId{number}" Type="{_RELATIONS}/{kind}" Target="{target}"/>'


def _part(name, kind):
    return f'<Override PartName="/xl/{name}" ContentType="{_MAIN}-officedocument.spreadsheetml.{kind}+xml"/>'


_BOOK = {
    "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_OPEN}/package/2006/content-types"><Default Extension="rels" '
    f'ContentType="{_MAIN}-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
    + _part("workbook.xml", "sheet.main")
    + _part("worksheets/sheet1.xml", "worksheet")
    + _part("sharedStrings.xml", "sharedStrings")
    + "</Types>",
    "_rels/.rels": _RELATED + _related(1, "officeDocument", "xl/workbook.xml") + "</Relationships>",
    "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_SPREAD}" xmlns:r="{_RELATIONS}"><sheets>'
    '<sheet name="one" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": _RELATED
    + _related(1, "worksheet", "worksheets/sheet1.xml")
    + _related(2, "sharedStrings", "sharedStrings.xml")
    + "</Relationships>",
    "xl/sharedStrings.xml": f'{_HEAD}<sst xmlns="{_SPREAD}"><si><t>a</t></si></sst>',
}
_SHEET = _HEAD + "{doctype}<worksheet xmlns='" + _SPREAD + "'>{before}<sheetData>{rows}</sheetData></worksheet>"


def sheet(rows, *, before="", doctype=""):
    return _SHEET.format(rows=rows, before=before, doctype=doctype)


def header():
    names = "".join(
        f'<c r="{column}1" t="inlineStr"><is><t>{name}</t></is></c>'
        for column, name in zip("ABCD", ("Test_Time(s)", "Current(A)", "Voltage(V)", "&x;"), strict=True)
    )
    return f'<row r="1">{names}</row>'.replace("&x;", "note")


def book(first_sheet, *, further=(), **parts):
    """A workbook of one sheet; further entries, and other parts by name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**_BOOK, "xl/worksheets/sheet1.xml": first_sheet, **parts}.items():
            archive.writestr(name, text)
        for name, text in further:
            archive.writestr(name, text)
    return target.getvalue()


def declared(content, name, size):
    """The same archive, saying of one entry that it unpacks to so many bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        info = archive.getinfo(name)
        true = info.file_size.to_bytes(4, "little")
        place = info.header_offset + 22
    told = size.to_bytes(4, "little")
    changed = bytearray(content)
    changed[place : place + 4] = told
    start = 0
    while (found := content.find(b"PK\1\2", start)) >= 0:
        if content[found + 46 : found + 46 + len(name)] == name.encode():
            assert content[found + 24 : found + 28] == true
            changed[found + 24 : found + 28] = told
        start = found + 4
    return bytes(changed)


LAUGHS = "<!DOCTYPE l [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(12)
) + "]>"  # fmt: skip
FILE = "<!DOCTYPE l [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"


def workbook_bombs(*, large):
    mega = 1200 if large else 80
    blank = " " * 2**20
    row = '<row r="{n}"><c r="A{n}"><v>1</v></c><c r="B{n}"><v>2</v></c><c r="C{n}"><v>3</v></c></row>'
    some = header() + "".join(row.format(n=n) for n in range(2, 40))
    blown = book(sheet(some, before=blank * mega))
    strings = _BOOK["xl/sharedStrings.xml"].replace("<si><t>a</t></si>", "<si/>" * (10**8 if large else 10**7))
    return {
        "a sheet of blanks": blown,
        "a sheet of blanks, declared small": declared(blown, "xl/worksheets/sheet1.xml", 5000),
        "a sheet of blanks, declared large": declared(book(sheet(some)), "xl/worksheets/sheet1.xml", 2**32 - 2),
        "a sheet of cells": book(
            sheet(some + "<row><c><v>1</v></c><c><v>1</v></c></row>" * (3 * 10**7 if large else 2 * 10**6))
        ),
        "a cell at the far end": book(sheet(some + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')),
        "a cell beyond the far end": book(sheet(some + '<row r="4294967295"><c r="ZZZZZZ4294967295"><v>1</v></c></row>')),
        "a dimension beyond all": book(sheet(some, before='<dimension ref="A1:XFD1048576"/>')),
        "strings without end": book(sheet(some), **{"xl/sharedStrings.xml": strings}),
        "strings that are not there": book(sheet(some + '<row r="41"><c r="A41" t="s"><v>99999999</v></c></row>')),
        "many entries": book(sheet(some), further=[(f"xl/{n}", "") for n in range(60_000 if large else 20_000)]),
        "many sheets": book(
            sheet(some),
            **{
                "xl/workbook.xml": _BOOK["xl/workbook.xml"].replace(
                    "</sheets>",
                    "".join(f'<sheet name="s{n}" sheetId="{n}" r:id="rId1"/>' for n in range(2, 3000)) + "</sheets>",
                )
            },
        ),
        "an entity from a file": book(sheet(some.replace("<v>1</v>", "<v>&x;</v>"), doctype=FILE)),
        "a billion laughs": book(sheet(some.replace("<v>1</v>", "<v>&m;</v>"), doctype=LAUGHS)),
        "laughing strings": book(
            sheet(some), **{"xl/sharedStrings.xml": LAUGHS + _BOOK["xl/sharedStrings.xml"].replace("<t>a", "<t>&m;")}
        ),
        "elements within elements": book(sheet("<a>" * 10**6)),
        "an entry that overlaps": book(sheet(some)).replace(b"PK\1\2", b"PK\1\2", 1),
        "paths that lead out": book(sheet(some), further=[("../../../../tmp/out.xml", "x"), ("/etc/x", "y")]),
    }


def ndax_bomb(*, large):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("data.ndc", "VersionInfo.xml", "Step.xml"):
            archive.writestr(name, b"\0" * (2**30 if large else 2**26))
    return target.getvalue()


# --- text


def text_bombs(*, large):
    sound = samples.arbin(samples.sampled())
    head, _, below = sound.partition("\n")
    long = 300 * 2**20 if large else 2**25
    return {
        "a line of columns": (",".join(f"a{n}" for n in range(10**6 if large else 10**5)) + "\n1\n").encode(),
        "lines of columns": ("\n".join(",".join(f"{a}{n}" for n in range(60)) for a in "abcdefghij" * 60)).encode(),
        "a line without end": (head + "\n" + "1" * long).encode(),
        "a quote without end": (head + '\n"' + below[:100] + "x,\n" * (long // 3)).encode(),
        "a quote without end in the names": ('"' + head + "\n" + "x,\n" * (long // 3)).encode(),
        "a long name": ("x" * 200_000 + "," + sound).encode(),
        "numbers of many digits": (head + "\n" + below.replace(".", "." + "0" * 5000, 50)).encode(),
        "a long text for a number": sound.replace(",2.8\n", "," + "x" * 10**6 + "\n", 1).encode(),
        "a quoted text without end": (head + '\n0,1,2.0,"' + "x" * long).encode(),
        "blank lines": (head + "\n" * (long // 4) + below).encode(),
        "zeros": sound.encode() + bytes(long),
        "commas": ("," * long).encode(),
        "names of regular expressions": ("(((((a+)+)+)+)+)$," * 5000 + "\n1,2\n").encode(),
        "units without end": f"time / {'s' * 100_000},voltage / V,current / A\n0,3.7,1\n".encode(),
        "dates of no calendar": sound.replace("Test_Time(s)", "Date_Time").replace("\n0.0,", "\n2026-13-45 99:99:99,").encode(),
        "a LabVIEW file of headers": (b"LabVIEW Measurement\n" + b"***End_of_Header***\n" * (long // 400)),
        "a report of cycles": (
            "Cycle Index,x\n,Step\n,,DataPoint,Total Time,Current(A),Voltage(V)\n" + "1\n" * (long // 8)
        ).encode(),
        "a MATLAB head": b"MATLAB 5.0 MAT-file" + bytes(109) + b"\x00\x01IM" + b"\xff" * 1000,
        "an HDF head": b"\x89HDF\r\n\x1a\n" + bytes(5000),
        "a Neware head": b"NEWARE" + b"\xff" * 10_000,
    }


def frames():
    """For `exchange`: what pandas and polars can hold and a curve set cannot."""
    curves = normal_curves(cells=2, cycles=1)
    return curves.timeseries, curves.halfcycles, pl
