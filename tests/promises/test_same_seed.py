"""The same seed draws the same curves: to the bit on one machine in any chunking, within a tolerance on other processors."""

import itertools
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import fingerprint
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from threadpoolctl import threadpool_limits

from faultcell.augmenter import Augmenter
from faultcell.curves import Curves, grid
from strategies import CONFIG

TOLERANCE = {"second": 0.05, "volt": 1e-4, "ampere": 1e-4}  # of curves on another processor, or a GPU


@pytest.fixture(scope="module")
def recorded():
    return json.loads(fingerprint.DRAWN.read_text())


def elsewhere(**environment):
    """What a process with these settings draws."""
    command = [sys.executable, "-W", "ignore", fingerprint.__file__]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def furthest(one, other):
    return {
        name: max(float(np.abs(np.subtract(a, b)).max()) for a, b in zip(one[name], other[name], strict=True))
        for name in TOLERANCE
    }


def within(found):
    return all(found[name] <= allowed for name, allowed in TOLERANCE.items())


def test_the_recorded_curves_are_drawn_again(recorded, tally):
    """Within the tolerance alone: kernels differ with the processor's maker, too, which nothing recorded could name."""
    found = fingerprint.told(fingerprint.draw(Augmenter.load(fingerprint.FOLDER / "bundle")))
    tally("same seed: recorded curves", len(found["volt"]), lost=int(not within(furthest(recorded, found))))
    assert within(furthest(recorded, found))


@pytest.mark.parametrize(
    "environment",
    [{"OMP_NUM_THREADS": "2"}, pytest.param({"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}, marks=pytest.mark.long)],
    ids=lambda environment: "_".join(environment.values()),
)
def test_two_processes_of_one_machine_draw_the_same_bits(environment, tally):
    first, second = elsewhere(OMP_NUM_THREADS="1"), elsewhere(**environment)
    tally("same seed: two processes of one machine", 1, lost=int(first["sha256"] != second["sha256"]))
    assert first == second


@pytest.mark.parametrize(
    "environment",
    [
        # The kernels of a processor from 2008: torch's plainest, oneDNN's for SSE 4.1.
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "OMP_NUM_THREADS": "1"},
        # What MKL takes elsewhere than on the maker's newest processors.
        {"MKL_CBWR": "COMPATIBLE"},
        pytest.param({"MKL_CBWR": "AVX2"}, marks=pytest.mark.long),
        pytest.param({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}, marks=pytest.mark.long),
    ],
    ids=lambda environment: "_".join(environment.values()),
)
def test_other_processors_draw_the_same_within_the_tolerance(recorded, environment, tally):
    far = furthest(recorded, elsewhere(**environment))
    tally("same seed: other processors", 1, lost=int(not within(far)))
    assert within(far), far


@settings(max_examples=12)
@given(cuts=st.sets(st.integers(1, 79), max_size=6), shuffled=st.randoms(use_true_random=False))
def test_any_cut_and_any_order_give_the_same_bits(tuned, cuts, shuffled):
    asked = grid("overdischarge", peak_deviation_volt=(0.3, 0.4, 0.5, 0.6), repeat=20)
    seeds = list(range(100, 180))
    whole = tuned.draw(asked, seeds)
    ends = [0, *sorted(cuts), 80]
    parts = [tuned.draw(asked[a:b], seeds[a:b]) for a, b in itertools.pairwise(ends)]
    assert_frame_equal(Curves.concat(parts).timeseries, whole.timeseries, check_exact=True)
    order = list(range(80))
    shuffled.shuffle(order)
    mixed = tuned.draw([asked[i] for i in order], [seeds[i] for i in order])
    assert_frame_equal(mixed.timeseries, whole.take(order).timeseries, check_exact=True)


def test_a_model_that_was_saved_and_loaded_draws_the_same_bits(tuned, tmp_path):
    asked = grid("overcharge", peak_deviation_volt=0.1, repeat=5)
    again = Augmenter.load(tuned.save(tmp_path / "bundle"))
    assert_frame_equal(again.draw(asked, range(5)).timeseries, tuned.draw(asked, range(5)).timeseries, check_exact=True)


@contextmanager
def threads(count):
    """As on a machine of so many cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    with threadpool_limits(count):
        yield
    torch.set_num_threads(before)


def test_a_model_is_the_same_whatever_threads_there_are(tiny):
    made = []
    for count in (1, 2):
        with threads(count):
            made.append(Augmenter.pretrain(tiny[0], config=CONFIG).sha256)
    assert made[0] == made[1]


def test_curves_are_the_same_whatever_threads_there_are(tuned):
    asked, made = grid("overdischarge", peak_deviation_volt=0.3, repeat=8), []
    for count in (1, 4):
        with threads(count):
            made.append(tuned.draw(asked, range(8)))
    assert made[0].timeseries.equals(made[1].timeseries)
