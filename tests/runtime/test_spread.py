"""Work spread over processes and over a cluster of two nodes: the same results in the same order, whatever dies meanwhile."""

import os
import pickle
import shutil
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import faultcell as fc
import pieces
from faultcell.errors import ConditionError, FaultCellError, MissingExtraError, StoppedError
from faultcell.files.parts import InParts, write_parts
from faultcell.runtime.workers import AHEAD, in_order, spread
from pieces import begun, deadly, failing, made, noted, numbered, squared, threads

HEAD, SECOND = "127.0.0.2", "127.0.0.3"  # of a loopback address Ray makes the machine's outward one, but for these
STORE_BYTE = 80 * 2**20


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def two_nodes(monkeypatch_module):
    """A cluster of two nodes of one core, which whoever has no token cannot use; and what adds and takes away nodes."""
    if sys.platform != "linux" or find_spec("ray") is None:  # to import it is for whoever tells it of the token
        pytest.skip("ray is not installed, or this machine has one loopback address alone")
    from faultcell.runtime.on_ray import RayCluster, _ray, unasked

    # Sockets lie in it: a longer name would not do. An address left where others look for it would have them join us.
    folder = Path("/tmp") / f"fc{os.getpid()}"
    (folder / "ray").mkdir(parents=True)
    monkeypatch_module.setenv("RAY_TMPDIR", str(folder))
    monkeypatch_module.setenv("PYTHONPATH", str(Path(pieces.__file__).parent), prepend=os.pathsep)

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch_module.setenv(name, "")  # as it was, afterwards
        monkeypatch_module.delenv(name)
    ray = _ray(tokened=True)
    from ray.cluster_utils import Cluster

    about = {"num_cpus": 1, "object_store_memory": STORE_BYTE}
    cluster = Cluster()
    try:
        with unasked(folder):
            cluster.add_node(**about, node_ip_address=HEAD, include_dashboard=False)
        cluster.second = cluster.add_node(**about, node_ip_address=SECOND)
        cluster.about = about
        ray.init(address=cluster.address, _node_ip_address=HEAD, log_to_driver=False, logging_level="ERROR")
        cluster.carrier = RayCluster(cluster.address)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def test_what_is_no_number_of_workers_is_refused():
    with pytest.raises(ConditionError, match="at least 1"):
        list(spread(squared, range(3), workers=0))
    assert list(spread(squared, range(3), workers=np.int64(1))) == [0, 1, 4]


@pytest.mark.parametrize("error", [MissingExtraError("ray", "ray"), StoppedError("stopped", number=15), ConditionError("no")])
def test_errors_come_through_from_other_processes(error):
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.exit_code) == (type(error), str(error), error.exit_code)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_processes_give_results_in_order(workers):
    assert list(spread(squared, range(9), workers=workers)) == [n * n for n in range(9)]


def test_no_more_is_begun_than_who_waits_for_it_can_hold():
    taken = []
    results = in_order((taken.append(n) or n for n in range(100)), ahead=AHEAD, result=squared)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) == 5 + AHEAD


def test_a_process_that_dies_is_one_sentence():
    with pytest.raises(FaultCellError, match="ended from outside"):
        list(spread(deadly, range(6), workers=2))


def test_what_the_work_raises_is_raised(two_nodes):
    for workers in (1, 2, two_nodes.carrier):
        with pytest.raises(ValueError, match="three is none of ours"):
            list(spread(failing, range(6), workers=workers))


def test_a_cluster_gives_the_same_on_one_thread(two_nodes, tmp_path):
    import ray

    assert len([node for node in ray.nodes() if node["Alive"]]) == 2
    (tmp_path / "go").touch()
    assert list(spread(partial(noted, tmp_path), range(12), workers=two_nodes.carrier)) == [n * n for n in range(12)]
    assert set(spread(threads, range(4), workers=two_nodes.carrier)) == {1}  # or sums would depend on the machine


def test_drawn_curves_are_the_same_to_the_bit(two_nodes, tuned, tiny, monkeypatch):
    monkeypatch.setattr("faultcell.generation.drawing.BLOCK", 3)
    monkeypatch.setattr("faultcell.generation.drawing.WORTH_A_PROCESS", 1)
    asked = [*fc.conditions_of(tiny[1].select(label=["overdischarge"]))][:4] * 3
    here, *others = (
        fc.Curves.concat(list(tuned.stream(asked, range(12), steps=2, workers=workers)))
        for workers in (1, 2, two_nodes.carrier)
    )
    for drawn in others:
        assert drawn.timeseries.equals(here.timeseries)
        assert drawn.halfcycles.equals(here.halfcycles)


def test_parts_that_two_nodes_write_are_one_set_that_ray_reads_as_it_is(two_nodes, tiny, tmp_path):
    (tally := tmp_path / "tally").mkdir()
    parts = InParts(partial(numbered, tally, tiny[0].take(range(6))), int, 4)
    listed = write_parts(parts, tmp_path / "set", config={}, workers=two_nodes.carrier)
    write_parts(parts, tmp_path / "here", config={})
    assert (tmp_path / "set/parts.json").read_bytes() == (tmp_path / "here/parts.json").read_bytes()
    assert sorted(made(tally).elements()) == sorted([*range(4)] * 2)
    import ray.data

    found = ray.data.read_parquet(str(tmp_path / "set/timeseries"))
    assert found.count() == listed.samples
    assert found.schema().names[:4] == ["cell_id", "cycle_count", "step_type", "step_time_second"]


def test_a_piece_of_work_that_ends_its_worker_is_named_and_the_others_go_on(two_nodes):
    got = []
    with pytest.raises(FaultCellError, match=r"1 piece of work ended its worker 3 times.*: 3;"):
        got.extend(one for one in keeping(got, spread(deadly, range(8), workers=two_nodes.carrier)))
    assert got == [n * n for n in range(8) if n != 3]


def keeping(got, results):
    """Nothing; but what came before something was raised is kept."""
    for one in results:
        got.append(one)
    yield from ()


def test_a_killed_node_costs_its_tasks_alone(two_nodes, tmp_path):
    """What ran there runs again elsewhere, and all results are there."""
    results = []
    work = Thread(target=lambda: results.extend(spread(partial(noted, tmp_path), range(8), workers=two_nodes.carrier)))
    work.start()
    wait_until(lambda: len({node for _, node in begun(tmp_path)}) == 2)  # one task on each node, which wait
    two_nodes.remove_node(two_nodes.second, allow_graceful=False)
    two_nodes.second = two_nodes.add_node(**two_nodes.about, node_ip_address=SECOND)
    (tmp_path / "go").touch()
    work.join(60)
    assert results == [n * n for n in range(8)]
    assert len(begun(tmp_path)) > 8  # or it was killed too late to tell


def wait_until(holds, *, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
