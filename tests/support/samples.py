"""One recording of two cycles, written as every vendor writes it: what tests of the readers, and of damage to files, share."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest


def recording(cycles=2, *, rest=300.0, step=10.0, low=2.8, high=4.1):
    """Rest, charge, rest, discharge, ... of a 2 Ah cell at 1C."""
    count = int(3600 / step)
    idle = int(rest / step)
    up, down = np.linspace(low, high, count), np.linspace(high, low, count)
    volts, amps = [np.full(idle, low)], [np.zeros(idle)]
    for _ in range(cycles):
        volts += [up, np.full(idle, high), down, np.full(idle, low)]
        amps += [np.full(count, 2.0), np.zeros(idle), np.full(count, -2.0), np.zeros(idle)]
    voltage, current = np.concatenate(volts), np.concatenate(amps)
    seconds = step * np.arange(voltage.size)
    return pl.DataFrame({"test_time_second": seconds, "voltage_volt": voltage, "current_ampere": current})


def mat_file(path, *, broken=None):
    from scipy.io import savemat

    record = np.linspace(0, 1, 60)
    cycles = []
    for kind, sign in (("charge", 1), ("impedance", 0), ("discharge", -1)):
        data = {
            "Time": 3600 * record,
            "Voltage_measured": 3.45 + sign * (record - 0.5) * (1.4 if sign > 0 else 2.8),
            "Current_measured": np.full(60, 2.0 * sign),
            "Temperature_measured": np.full(60, 25.0),
            "Capacity": 1.9,
        }
        cycles.append({"type": kind, "ambient_temperature": 24.0, "time": [2008, 4, 2, 13, 8, 17.9], "data": data})
    if broken:
        broken(cycles)
    savemat(path, {"B9999": {"cycle": cycles}})
    return path


# --- the vendors' layouts, written by hand


def sampled():
    """One cell, two cycles: seconds, volts, amperes (+ = charge), cycle, state."""
    table = recording(step=30.0)
    current = table["current_ampere"]
    state = np.where(current > 0, "C", np.where(current < 0, "D", "R"))
    return table.with_columns(cycle=(pl.int_range(pl.len()) - 10) // 260 + 1, state=pl.Series(state))


def rows_of(table, separator="\t", comma=False):
    text = table.write_csv(separator=separator, include_header=False)
    return text.replace(".", ",") if comma else text


def hms(second):
    return f"{int(second // 3600)}:{int(second // 60 % 60):02}:{second % 60:06.3f}"


def arbin(t):
    return t.select(
        pl.col("test_time_second").alias("Test_Time(s)"), pl.col("cycle").alias("Cycle_Index"),
        pl.col("current_ampere").alias("Current(A)"), pl.col("voltage_volt").alias("Voltage(V)"),
    ).write_csv()  # fmt: skip


def basytec(t):
    head = "~Resultfile from Basytec Battery Test System\r\n~Battery: one\r\n~\r\n"
    head += "~Time[h]\tDataSet\tCommand\tU[V]\tI[A]\tCyc-Count\r\n"
    return head + rows_of(
        t.select(
            pl.col("test_time_second") / 3600,
            pl.int_range(pl.len()).alias("n"),
            "state",
            "voltage_volt",
            "current_ampere",
            "cycle",
        )
    )


def biologic(t):
    head = "EC-Lab ASCII FILE\r\nNb header lines : 4\r\n\r\nmode\tox/red\ttime/s\tEwe/V\t<I>/mA\tcycle number\r\n"
    table = t.select(pl.lit(1).alias("m"), pl.lit(0).alias("o"), "test_time_second", "voltage_volt",
                     1000 * pl.col("current_ampere"), pl.col("cycle").cast(pl.Float64))  # fmt: skip
    return head + rows_of(table, comma=True)


def landt(t):
    table = t.select(
        pl.int_range(pl.len()).alias("Index"), pl.col("test_time_second").alias("TestTime/Sec."),
        pl.col("voltage_volt").alias("Voltage/V"), (1000 * pl.col("current_ampere").abs()).alias("Current/mA"),
        pl.col("cycle").alias("Cycle"), pl.col("state").replace_strict({"C": "C_CC", "D": "D_CC", "R": "R"}).alias("State"),
    )  # fmt: skip
    return table.write_csv(separator="\t")


def maccor(t):
    head = "Today's Date\t01/02/2026\r\nRec#\tCyc#\tStep\tTest (Sec)\tAmps\tVolts\tState\r\n"
    table = t.select(pl.int_range(pl.len()).alias("n"), "cycle", pl.lit(1).alias("s"), "test_time_second",
                     pl.col("current_ampere").abs(), "voltage_volt", "state")  # fmt: skip
    return head + rows_of(table)


def maccor_minutes(t):
    """Decimal commas, and a time whose unit only the dates beside it tell."""
    began = pl.lit("2026-03-01 08:00:00").str.to_datetime()
    dates = (began + pl.duration(seconds="test_time_second")).dt.strftime("%m/%d/%Y %H:%M:%S")
    head = "Name:\tone\nRec\tCycle C\tTestTime\tCurrent [A]\tVoltage [V]\tMd\tDPT Time\n\n"
    table = t.select(pl.int_range(pl.len()).alias("n"), "cycle", pl.col("test_time_second") / 60,
                     pl.col("current_ampere").abs(), "voltage_volt", "state", dates.alias("d"))  # fmt: skip
    return head + rows_of(table, comma=True)


def maccor_milli(t):
    """A small cell: milliamperes by name, millivolts by their values alone."""
    head = "Today's Date\t01/02/2026\r\nRec#\tCyc#\tStep\tTest (Sec)\tmAmp-hr\tmAmps\tVolts\tState\r\n"
    milli = (pl.col("current_ampere").abs() * 1000, pl.col("voltage_volt") * 1000)
    one, none = pl.lit(1).alias("s"), pl.lit(0.0).alias("q")
    table = t.select(pl.int_range(pl.len()).alias("n"), "cycle", one, "test_time_second", none, *milli, "state")
    return head + rows_of(table)


def neware(t):
    words = pl.col("state").replace_strict({"C": "CC Chg", "D": "CC DChg", "R": "Rest"})
    return t.select(
        pl.int_range(pl.len()).alias("DataPoint"), pl.col("cycle").alias("Cycle Index"), words.alias("Step Type"),
        pl.lit("00:00:00").alias("Time"), pl.col("test_time_second").map_elements(hms, pl.String).alias("Total Time"),
        (1000 * pl.col("current_ampere")).alias("Current(mA)"), pl.col("voltage_volt").alias("Voltage(V)"),
    ).write_csv()  # fmt: skip


def neware_report(t):
    lines = ["Cycle Index,Chg. Cap.(Ah)", ",Step Index,Step Type", ",,DataPoint,Time,Total Time,Current(A),Voltage(V)"]
    for (cycle, state), part in t.group_by("cycle", pl.col("state").rle_id(), maintain_order=True):
        lines += [f"{cycle},0.0"] if not any(line.startswith(f"{cycle},") for line in lines) else []
        lines += [f",{state},x"]
        lines += [f",,{n},00:00:00,{hms(s)},{a},{v}" for n, (s, v, a) in enumerate(part.select(
            "test_time_second", "voltage_volt", "current_ampere").rows())]  # fmt: skip
    return "\n".join(lines) + "\n"


def pec(t):
    head = "Request Year:,2026\nTestRegime Name:,ageing\nLotID:,841\n"
    words = pl.col("state").replace_strict({"C": "Charge", "D": "Discharge", "R": "Idle"})
    return head + t.select(
        pl.lit(1).alias("Test"), words.alias("Instruction Name"), pl.col("cycle").alias("Cycle"),
        pl.col("test_time_second").map_elements(hms, pl.String).alias("Total Time (Hours in hh:mm:ss.xxx)"),
        pl.col("voltage_volt").alias("Voltage (V)"), pl.col("current_ampere").alias("Current (A)"),
    ).write_csv()  # fmt: skip


def maccor_csv(t):
    """Signed currents, no states, names without units."""
    head = "Today's Date ,28-Nov-25\nDate of Test:,23-Nov-25 3:56:08 PM\n"
    return head + t.select(
        pl.int_range(pl.len()).alias("Rec"), pl.col("cycle").alias("Cycle C"),
        pl.col("test_time_second").alias("Test Time (sec)"), pl.col("current_ampere").alias("Current"),
        pl.col("voltage_volt").alias("Voltage"), pl.lit("23-Nov-25 3:56:11 PM").alias("DPT Time"),
    ).write_csv()  # fmt: skip


def maccor_days(t):
    """Times as days and hours, a tab more in the header, a name twice."""
    days = pl.col("test_time_second").map_elements(lambda s: f"  {int(s // 86400)}d {hms(s % 86400)}", pl.String)
    head = "Today's Date:\t14 December 2025\nRec#\tCyc#\tTestTime\tAmps\tVolts\tState\tAux #1\t Units\tAux #2\t Units\t\n"
    table = t.select(pl.int_range(pl.len()).alias("n"), "cycle", days, pl.col("current_ampere").abs(), "voltage_volt", "state",
                     *(pl.lit(word).alias(str(n)) for n, word in enumerate(("0.0", " C  ", "0.0", " C  "))))  # fmt: skip
    return head + rows_of(table).replace("\n", "\t\n")


def novonix(t):
    head = '[Summary]\nNovonix\nCapacity (Ah): 2\n[End Summary]\n[Protocol]\n{"Version":"2","Steps":[{"a":1,"b":2}]}\n[Data]\n'
    return head + t.select(
        pl.lit("2026-03-01 08:00:00").alias("Date and Time"), pl.col("cycle").alias("Cycle Number"),
        (pl.col("test_time_second") / 3600).alias("Run Time (h)"), pl.lit(0.0).alias("Step Time (h)"),
        pl.col("current_ampere").alias("Current (A)"), pl.col("voltage_volt").alias("Potential (V)"),
    ).write_csv()  # fmt: skip


def digatron(t):
    """A line below the names in which no number stands."""
    words = pl.col("state").replace_strict({"C": "CC_CHG", "D": "CC_DCH", "R": "PAU"})
    head, _, below = t.select(
        words.alias("Status"), pl.col("test_time_second").alias("Program Duration#s"), pl.col("cycle").alias("Cycle"),
        pl.col("voltage_volt").alias("Voltage#V"), pl.col("current_ampere").alias("Current#A"),
    ).write_csv().partition("\n")  # fmt: skip
    return f"{head}\nV\tV\tV\tV\tV\n{below}"


def cells_of_a_repository(t):
    """Machine names of another kind, a preamble, a comma more in each row."""
    head = "cell model:,,,,\ntest:,,,,\n"
    words = pl.col("state").replace_strict({"C": "charge", "D": "discharge", "R": "rest"})
    table = t.select(
        pl.col("cycle").alias("cycle_index"), pl.col("test_time_second").alias("test_time_s"),
        pl.col("current_ampere").alias("current_A"), pl.col("voltage_volt").alias("voltage_V"), words.alias("step_name"),
    )  # fmt: skip
    first, _, below = table.write_csv().partition("\n")
    return head + first + "\n" + below.replace("\n", ",\n")


def labview(t):
    head = "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t.\n***End_of_Header***\t\n\t\n"
    head += "Channels\t2\n***End_of_Header***\t\t\nX_Value\tVoltage\tCurrent\tComment\n"
    return head + rows_of(t.select("test_time_second", "voltage_volt", "current_ampere"))


def plain(t):
    """A file of one's own: semicolons, decimal commas, + = discharge, dates for times."""
    began = pl.lit("2026-03-01 08:00:00").str.to_datetime()
    dates = (began + pl.duration(seconds="test_time_second")).dt.strftime("%d.%m.%Y %H:%M:%S")
    table = t.select(
        dates.alias("date"), pl.col("voltage_volt").alias("U [V]"), (-pl.col("current_ampere")).alias("I [A]"), "cycle"
    )
    head, _, below = table.write_csv(separator=";").partition("\n")
    return head + "\n" + "\n".join(
        ";".join([line.split(";")[0], *(cell.replace(".", ",") for cell in line.split(";")[1:])]) for line in below.splitlines()
    )  # fmt: skip


LAYOUTS = {
    arbin: "Arbin", basytec: "Basytec", biologic: "BioLogic", landt: "Landt", maccor: "Maccor", maccor_minutes: "Maccor",
    maccor_csv: "Maccor", maccor_days: "Maccor", maccor_milli: "Maccor", novonix: "Novonix", digatron: "Digatron",
    cells_of_a_repository: "a table",
    neware: "Neware CSV", neware_report: "Neware general report", pec: "PEC", labview: "LabVIEW", plain: "a table",
}  # fmt: skip


def units_below(t):
    """Units in a line of their own."""
    names = {"test_time_second": "time", "voltage_volt": "voltage", "current_ampere": "current", "cycle": "cycle"}
    table = t.select((pl.col("test_time_second") / 60), "voltage_volt", pl.col("current_ampere") * 1000, "cycle").rename(names)
    head, _, below = table.write_csv().partition("\n")
    return f"{head}\nmin,V,mA,\n{below}"


def minutes_with_a_stop(t):
    """A test that stood still for a day: the dates go on, the time does not."""
    stop = pl.when(pl.int_range(pl.len()) > 250).then(86400).otherwise(0)
    passed = pl.duration(seconds=pl.col("test_time_second") + stop)
    dates = (pl.lit("2026-03-01 08:00:00").str.to_datetime() + passed).dt.strftime("%m/%d/%Y %H:%M:%S")
    head = "Rec#\tCyc#\tTestTime\tAmps\tVolts\tState\tDPT Time\n"
    return head + rows_of(t.select(pl.int_range(pl.len()).alias("n"), "cycle", pl.col("test_time_second") / 60,
                                   pl.col("current_ampere").abs(), "voltage_volt", "state", dates.alias("d")))  # fmt: skip


def segments(t):
    """A LabVIEW file with a header before each segment."""
    head = "LabVIEW Measurement\t\n***End_of_Header***\t\n\t\n"
    one = "Channels\t2\n***End_of_Header***\t\t\nX_Value\tVoltage\tCurrent\n"
    table = t.select("test_time_second", "voltage_volt", "current_ampere")
    return head + one + rows_of(table[:270]) + "\n" + one + rows_of(table[270:])


def day_first(t):
    """Dates that could be read both ways, over midnight."""
    began = pl.lit("2026-03-03 20:00:00").str.to_datetime()
    dates = (began + pl.duration(seconds="test_time_second")).dt.strftime("%d/%m/%Y %H:%M:%S")
    return t.select(dates.alias("Date"), pl.col("voltage_volt").alias("U [V]"), pl.col("current_ampere").alias("I [A]"),
                    pl.lit(25.0).alias("T [°C]"), "cycle").write_csv()  # fmt: skip


def numbered_rows(t):
    """A column `i` that is no current, units close to their names."""
    names = {"test_time_second": "Time(s)", "voltage_volt": "Voltage(V)", "current_ampere": "Current(A)"}
    return t.with_row_index("i").select("i", *names, "cycle").rename(names).write_csv()


def chinese(t):
    words = pl.col("state").replace_strict({"C": "恒流充电", "D": "恒流放电", "R": "搁置"})
    return t.select(pl.col("test_time_second").alias("测试时间/Sec."), pl.col("voltage_volt").alias("电压/V"),
                    (1000 * pl.col("current_ampere").abs()).alias("电流/mA"), pl.col("cycle").alias("循环序号"),
                    words.alias("工作模式")).write_csv(separator="\t")  # fmt: skip


def as_rows(table):
    return [table.columns, *table.rows()]


def workbook(path, sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)


def machine_names(t):
    """The Battery Data Format, in machine names."""
    return t.select("test_time_second", "voltage_volt", "current_ampere", cycle_count="cycle")


def bdf(t):
    """The same in preferred labels."""
    names = {"test_time_second": "Test Time / s", "voltage_volt": "Voltage / V", "current_ampere": "Current / A"}
    return t.select(*names, pl.col("cycle").alias("Cycle Count / 1")).rename(names).write_csv()


def plain_names(t):
    """Names of one's own, one of them not in ASCII."""
    names = {"test_time_second": "time [s]", "voltage_volt": "voltage [V]", "current_ampere": "current [A]"}
    return t.select(*names, "cycle", pl.lit(25.0).alias("T [°C]")).rename(names).write_csv()
