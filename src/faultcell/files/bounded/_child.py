"""Runs as a program of its own: reads a file that some library may hang on, or ask for all memory for, when it is damaged.

Arguments: what the file is (a name of `LOADERS`), the file, the folder to write into, the memory limit in bytes, the time limit
in seconds. What is in the file is left as plain arrays or tables; why it cannot be read is one line on standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Cyclers begin a sheet when one is full, which is after a million rows.
MOST_SHEETS = 256
READINGS = ("Time", "Voltage_measured", "Current_measured", "Temperature_measured")


def limit(memory_byte: int, time_second: int) -> None:
    """Let the system end this process beyond these limits, where it can; the time is that of the processor."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit is all there is
        return
    # Not the address space, of which threads and files take gigabytes that they never use.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_byte, memory_byte))
    resource.setrlimit(resource.RLIMIT_CPU, (time_second, time_second + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def matlab(source: str, target: Path) -> None:
    """Flatten the half-cycles of the one cell in a NASA PCoE file into arrays of numbers and text."""
    import numpy as np
    from scipy.io import loadmat

    try:
        content = loadmat(source, simplify_cells=True)
    except NotImplementedError as error:
        raise ValueError("MATLAB 7.3 (HDF5) is not read, save it with -v7") from error
    names = [name for name in content if not name.startswith("__")]
    if len(names) != 1 or "cycle" not in content[names[0]]:
        raise ValueError(f"variables are {', '.join(names) or 'none'}, not one cell with a field 'cycle'")
    records = content[names[0]]["cycle"]
    records = [records] if isinstance(records, dict) else list(records)
    kept = [record for record in records if record["type"] in ("charge", "discharge")]
    if not kept:
        raise ValueError(f"none of the {len(records)} records is a charge or a discharge")
    columns = [[_line(record, name) for record in kept] for name in READINGS]
    lengths = [{len(column[i]) for column in columns} for i in range(len(kept))]
    uneven = [i for i, found in enumerate(lengths) if len(found) > 1]
    if uneven:
        raise ValueError(f"half-cycle {uneven[0]} has columns of different lengths {sorted(lengths[uneven[0]])}")
    arrays = {name: np.concatenate(column) for name, column in zip(READINGS, columns, strict=True)}
    arrays["cell_id"] = np.array(names[0])
    arrays["step_type"] = np.array([str(record["type"]) for record in kept])
    arrays["length"] = np.array([len(line) for line in columns[0]])
    arrays["ambient"] = np.array([float(record["ambient_temperature"]) for record in kept])
    arrays["capacity"] = np.array([_capacity(record) for record in kept])
    np.savez(target / "arrays.npz", allow_pickle=False, **arrays)


def workbook(source: str, target: Path) -> None:
    """The sheets of a workbook as tables of text, `0.ipc` and so on, and their names."""
    import fastexcel

    book = fastexcel.read_excel(source)
    if len(book.sheet_names) > MOST_SHEETS:
        raise ValueError(f"{len(book.sheet_names)} sheets")
    for place, name in enumerate(book.sheet_names):
        sheet = book.load_sheet(name, header_row=None, dtypes="string").to_polars()
        sheet.write_ipc(target / f"{place}.ipc", compression="uncompressed")
    (target / "names.json").write_text(json.dumps(book.sheet_names), encoding="utf-8")


def neware(source: str, target: Path) -> None:
    """The table of an `.nda` or `.ndax` file."""
    logging.disable(logging.CRITICAL)  # what is wrong is said in a sentence
    import fastnda

    fastnda.read(source).write_ipc(target / "0.ipc", compression="uncompressed")


LOADERS = {"matlab": matlab, "workbook": workbook, "neware": neware}


def _line(record: dict[str, Any], name: str) -> Any:
    import numpy as np

    return np.atleast_1d(np.asarray(record["data"][name], dtype=np.float64)).ravel()


def _capacity(record: dict[str, Any]) -> float:
    import numpy as np

    value = np.atleast_1d(np.asarray(record["data"].get("Capacity", np.nan), dtype=np.float64)).ravel()
    return float(value[0]) if value.size else float("nan")


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it asks for more memory than allowed"
    if isinstance(error, KeyError):
        return f"field {error} is missing"
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 with a line on standard error."""
    kind, source, target, memory_byte, time_second = arguments
    limit(int(memory_byte), int(time_second))
    try:
        LOADERS[kind](source, Path(target))
    except BaseException as error:  # some libraries panic in ways of their own
        print(_reason(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
