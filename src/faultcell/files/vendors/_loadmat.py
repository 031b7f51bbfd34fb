"""Runs as a program of its own: reads a NASA PCoE `.mat` file and writes plain arrays, or says in one line why not.

`scipy.io.loadmat` can hang or ask for all memory on a damaged file, so it runs here, in a child that can be killed.
Arguments: the `.mat` file, the `.npz` file to write, the memory limit in bytes, the time limit in seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

READINGS = ("Time", "Voltage_measured", "Current_measured", "Temperature_measured")


def limit(memory_byte: int, time_second: int) -> None:
    """Let the system end this process beyond these limits, where it can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's time limit is all there is
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_byte, memory_byte))
    resource.setrlimit(resource.RLIMIT_CPU, (time_second, time_second + 1))


def convert(source: str, target: str) -> None:
    """Flatten the half-cycles of the one cell in `source` into arrays of numbers and text in `target`."""
    import numpy as np
    from scipy.io import loadmat

    content = loadmat(source, simplify_cells=True)
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
    np.savez(target, allow_pickle=False, **arrays)


def _line(record: dict[str, Any], name: str) -> Any:
    import numpy as np

    return np.atleast_1d(np.asarray(record["data"][name], dtype=np.float64)).ravel()


def _capacity(record: dict[str, Any]) -> float:
    import numpy as np

    value = np.atleast_1d(np.asarray(record["data"].get("Capacity", np.nan), dtype=np.float64)).ravel()
    return float(value[0]) if value.size else float("nan")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 1 with a line on standard error."""
    source, target, memory_byte, time_second = arguments
    limit(int(memory_byte), int(time_second))
    try:
        convert(source, target)
    except MemoryError:
        print("it asks for more memory than allowed", file=sys.stderr)
        return 1
    except NotImplementedError:
        print("MATLAB 7.3 (HDF5) is not read, save it with -v7", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"field {error} is missing", file=sys.stderr)
        return 1
    except Exception as error:
        print((str(error) or type(error).__name__).splitlines()[0][:200], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
