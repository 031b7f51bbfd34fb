"""How many curves a second training takes, beside peers of as many parameters, and how near that is to the machine's limit.

FaultCell's step is the whole of it: batch, conditions, losses of curve, durations and expectations, gradients, clipping, AdamW,
moving average. The peers' is the bare minimum: noise, loss, gradients, Adam(W). Then the cost of longer curves.

    python benchmarks/training.py [--peers build/peers] [--threads N] [--out JSON]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import measure
import ours
import peer
from faultcell.config import Config, GridConfig, NetConfig, TrainConfig
from plain_unet import PlainUNet

RUNS, STEPS, BATCH = 5, 24, 64
PLAIN = (56, 80, 120)  # widths of a million parameters
LENGTHS = (128, 256, 512, 1024)
DENSE = NetConfig(widths=(96, 128), attention=(False, True))  # as many parameters, more work a curve


def main() -> None:
    options = measure.arguments(__doc__, peers={"type": Path, "default": peer.INTO})
    network, run = ours.run(Config())
    dense_network, dense = ours.run(Config(net=DENSE))
    parameters = count(network.curve)
    served = {
        name: peer.Peer(name, python, threads=options.threads, parameters=parameters, batch=BATCH)
        for name in peer.PEERS
        if (python := peer.python_of(name, options.peers))
    }
    plain, plain_step = yardstick()
    contenders: dict[str, Callable[[], float]] = {
        "FaultCell": ours.steps_of(run, STEPS),
        "FaultCell, two wide levels": ours.steps_of(dense, STEPS),
        "plain U-Net, every point, fp32": lambda: measure.seconds_of(lambda: [plain_step() for _ in range(STEPS)]),
        **{name: lambda one=one: one.seconds("train", STEPS) for name, one in served.items()},
        "peak": measure.convolution_peak(),
    }
    for work in contenders.values():
        work()  # once that does not count
    seconds = measure.in_turn(contenders, runs=RUNS)
    peak = 1 / seconds.pop("peak")
    sizes = {"FaultCell": parameters, "FaultCell, two wide levels": count(dense_network.curve)}
    sizes |= {"plain U-Net, every point, fp32": count(plain)} | {name: one.about["parameters"] for name, one in served.items()}
    own = {"FaultCell": run, "FaultCell, two wide levels": dense}
    rows = []
    for name, taken in seconds.items():
        row: measure.Row = {"": name, "million parameters": sizes[name] / 1e6, "curves/s": BATCH * STEPS / taken}
        row["FaultCell is faster by"] = taken / seconds["FaultCell"]
        if name in own:
            row["GFLOP/s"] = ours.operations(lambda name=name: next(own[name])) * STEPS / taken / 1e9
        elif name.startswith("plain"):
            row["GFLOP/s"] = ours.operations(plain_step) * STEPS / taken / 1e9
        row["share of the peak"] = row["GFLOP/s"] / peak if "GFLOP/s" in row else None
        rows.append(row)
    missing = [name for name in peer.PEERS if name not in served]
    notes = [f"Peak: {peak:.0f} GFLOP/s, the fastest of {len(measure.PEAK_SHAPES)} channels-last convolutions in fp32."]
    notes += [f"Not installed: {', '.join(missing)} (`python benchmarks/peer.py install`)."] if missing else []
    notes += ["", *by_length()]
    measure.report("Training, 128 points, batches of 64", rows, options, notes=notes)
    for one in served.values():
        one.close()


def by_length() -> list[str]:
    """A table of the cost of a step by the length of the curves, over that of the shortest."""
    runs = {length: ours.run(Config(grid=GridConfig(head=length * 3 // 4, tail=length // 4)))[1] for length in LENGTHS}
    contenders = {str(length): ours.steps_of(run, 4) for length, run in runs.items()}
    for work in contenders.values():
        work()
    taken = measure.in_turn(contenders, runs=3)
    lines = ["| points | ms a step | cost over linear |", "|---|---|---|"]
    for length in LENGTHS:
        share = taken[str(length)] / taken[str(LENGTHS[0])] / (length / LENGTHS[0])
        lines.append(f"| {length} | {taken[str(length)] / 4 * 1e3:.0f} | {share:.2f} |")
    return ["\n".join(lines)]


def yardstick() -> tuple[PlainUNet, Callable[[], None]]:
    """The plain U-Net and a step of it on curves of one channel, clipping and moving average included."""
    torch.manual_seed(0)
    network, knobs = PlainUNet(1, features=40, length=128, widths=PLAIN), TrainConfig()
    optimizer = torch.optim.AdamW(network.parameters(), lr=knobs.learning_rate, fused=True)
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(knobs.ema_decay)
    )
    data, conditions = torch.randn(4096, 1, 128), torch.randn(4096, 40)

    def step() -> None:
        rows, t = torch.randint(len(data), (BATCH,)), torch.randint(1000, (BATCH,))
        x, noise, angle = data[rows], torch.randn(BATCH, 1, 128), (t / 1000 * torch.pi / 2)[:, None, None]
        predicted = network(angle.cos() * x + angle.sin() * noise, t, conditions[rows])
        loss = (predicted - noise).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), knobs.gradient_clip)
        optimizer.step()
        averaged.update_parameters(network)

    return network, step


def count(network: torch.nn.Module) -> int:
    """Its parameters."""
    return sum(value.numel() for value in network.parameters())


if __name__ == "__main__":
    main()
