"""Other generators of sequences, each in an environment of its own: never a dependency of FaultCell.

    python benchmarks/peer.py install [--into build/peers]      # venvs; gigabytes, minutes, needs the network
    PEER_PYTHON benchmarks/peer.py serve NAME ...               # what the benchmarks start

A served peer waits on its standard input for `train` or `draw` with a count, does that many steps or sequences, and answers
with the seconds. So only one process works at a time, and a benchmark can take its contenders in turn.

Only the standard library is imported before it is known which peer this is: each of these environments has other packages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

INTO = Path(__file__).resolve().parents[1] / "build" / "peers"
TORCH = "torch==2.13.0"
# diffusers is in FaultCell's own environment. The others: pip's arguments, one call after the other.
ENVIRONMENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "denoising-diffusion-pytorch": (
        (TORCH, "einops", "tqdm", "scipy", "pillow", "ema-pytorch", "accelerate"),
        ("--no-deps", "denoising-diffusion-pytorch", "pytorch-fid"),  # its torchvision would pull gigabytes of CUDA
    ),
    "gretel": (
        ("--no-deps", "gretel-synthetics"),
        (TORCH, "pandas<3", "numpy<2.3", "scikit-learn", "category-encoders", "rdt", "tqdm"),
    ),
    "deepecho": ((TORCH,), ("deepecho",)),
}
Work = Callable[[int], object]


class Peer:
    """A peer that is being served, from the side of the benchmark.

    Args:
        name: a key of `PEERS`.
        python: of its environment.
        options: for `serve`.
    """

    def __init__(self, name: str, python: str, **options: object) -> None:
        command = [python, __file__, "serve", name]
        command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about: dict[str, Any] = self._answer()

    def seconds(self, verb: str, count: int) -> float:
        """Seconds of `count` training steps (`train`), or of so many sequences (`draw`)."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {count}\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # some print what they think of the environment
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"{self._process.args} ended without an answer")


def python_of(name: str, into: Path) -> str | None:
    """The interpreter of a peer's environment; None where it is not installed."""
    if name not in ENVIRONMENTS:
        return sys.executable
    found = into / name / "bin" / "python"
    return str(found) if found.exists() else None


def install(into: Path) -> None:
    """Make the environments that are not there yet."""
    for name, calls in ENVIRONMENTS.items():
        folder = into / name
        if (folder / "done").exists():
            continue
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for call in calls:
            subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", *call], check=True)
        (folder / "done").touch()
        print(f"{name} in {folder}")


def unet_of(make: Callable[[int], Any], sizes: range, parameters: float) -> Any:
    """Of networks of several sizes the one whose number of parameters is nearest."""

    def count(size: int) -> int:
        return sum(value.numel() for value in make(size).parameters())

    return make(min(sizes, key=lambda size: abs(count(size) - parameters)))


def trainer(network: Any, length: int, batch: int, call: Callable[[Any, Any], Any]) -> Work:
    """Steps of noise prediction on sequences `(batch, 1, length)`, data in memory."""
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    data = torch.randn(4096, 1, length)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)

    def train(steps: int) -> None:
        for _ in range(steps):
            x, t = data[torch.randint(len(data), (batch,))], torch.randint(1000, (batch,))
            noise, signal = torch.randn_like(x), kept[t][:, None, None]
            loss = (call(signal.sqrt() * x + (1 - signal).sqrt() * noise, t) - noise).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return train


def diffusers(options: argparse.Namespace) -> tuple[Any, Work, Work]:
    """`UNet1DModel` of residual blocks, and DPM-Solver++ in 20 steps."""
    import torch
    from diffusers import DPMSolverMultistepScheduler, UNet1DModel

    def make(size: int) -> Any:
        return UNet1DModel(
            sample_size=options.length, in_channels=1, out_channels=1, block_out_channels=(size, 2 * size, 4 * size),
            down_block_types=("DownResnetBlock1D",) * 3, up_block_types=("UpResnetBlock1D",) * 3,
            mid_block_type="MidResTemporalBlock1D", out_block_type="OutConv1DBlock", layers_per_block=1, act_fn="silu",
            time_embedding_type="positional", use_timestep_embedding=True,
        )  # fmt: skip

    network = unet_of(make, range(16, 97, 8), options.parameters)

    @torch.no_grad()
    def draw(count: int) -> None:
        for start in range(0, count, options.draw_batch):
            scheduler = DPMSolverMultistepScheduler()
            scheduler.set_timesteps(20)
            x = torch.randn(min(options.draw_batch, count - start), 1, options.length)
            for t in scheduler.timesteps:
                x = scheduler.step(network(x, t).sample, t, x).prev_sample

    return network, trainer(network, options.length, options.batch, lambda x, t: network(x, t).sample), draw


def denoising_diffusion_pytorch(options: argparse.Namespace) -> tuple[Any, Work, Work]:
    """`Unet1D`, and its DDIM in 25 steps."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.utils", "torchvision.models"):
        sys.modules[name] = types.ModuleType(name)  # imported by the package for images, not needed here
    for name in ("transforms", "utils", "models"):
        setattr(sys.modules["torchvision"], name, sys.modules[f"torchvision.{name}"])
    sys.modules["torchvision.transforms"].__dict__.update(dict.fromkeys(("Compose", "Lambda", "ToTensor"), object))
    import importlib

    module = importlib.import_module("denoising_diffusion_pytorch.denoising_diffusion_pytorch_1d")

    def make(size: int) -> Any:
        return module.Unet1D(dim=size, dim_mults=(1, 2, 4, 8), channels=1)

    network = unet_of(make, range(8, 41, 4), options.parameters)
    process = module.GaussianDiffusion1D(
        network, seq_length=options.length, timesteps=1000, sampling_timesteps=25, objective="pred_v"
    )

    def draw(count: int) -> None:
        for start in range(0, count, options.draw_batch):
            process.sample(batch_size=min(options.draw_batch, count - start))

    return network, trainer(network, options.length, options.batch, network), draw


def gretel(options: argparse.Namespace) -> tuple[Any, Work, Work]:
    """The DGAN, three attributes, eight points at a time; a step of training is one batch."""
    import numpy as np
    from gretel_synthetics.timeseries_dgan.config import DGANConfig
    from gretel_synthetics.timeseries_dgan.dgan import DGAN

    rng = np.random.default_rng(0)

    def model(steps: int) -> Any:
        config = DGANConfig(max_sequence_len=options.length, sample_len=8, batch_size=options.batch, epochs=1, cuda=False)
        made = DGAN(config)
        count = steps * options.batch
        made.train_numpy(attributes=rng.random((count, 3)), features=rng.random((count, options.length, 1)))
        return made

    trained = model(16)
    return trained.generator, model, lambda count: trained.generate_numpy(count)


def deepecho(options: argparse.Namespace) -> tuple[Any, Work, Work]:
    """PAR with two continuous contexts; a step of training is an epoch over one batch of sequences."""
    import numpy as np
    from deepecho import PARModel

    rng = np.random.default_rng(0)
    sequences = [
        {"context": rng.random(2).tolist(), "data": [rng.random(options.length).tolist()]} for _ in range(options.batch)
    ]

    def model(epochs: int) -> Any:
        made = PARModel(epochs=epochs, cuda=False, verbose=False)
        made.fit_sequences(sequences, context_types=["continuous"] * 2, data_types=["continuous"])
        return made

    trained = model(2)

    def draw(count: int) -> None:
        for _ in range(count):
            trained.sample_sequence(context=[0.5, 0.5], sequence_length=options.length)

    return trained._model, model, draw


PEERS: dict[str, Callable[[argparse.Namespace], tuple[Any, Work, Work]]] = {
    "diffusers": diffusers,
    "denoising-diffusion-pytorch": denoising_diffusion_pytorch,
    "gretel": gretel,
    "deepecho": deepecho,
}


def serve(options: argparse.Namespace) -> None:
    """Make the peer and do what the standard input asks for."""
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network, train, draw = PEERS[options.name](options)
    parameters = sum(value.numel() for value in network.parameters()) if network is not None else 0
    print(json.dumps({"parameters": parameters, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        verb, count = line.split()
        started = time.perf_counter()
        {"train": train, "draw": draw}[verb](int(count))
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("install")
    making.add_argument("--into", type=Path, default=INTO)
    serving = verbs.add_parser("serve")
    serving.add_argument("name", choices=PEERS)
    for name, value in {"threads": 2, "length": 128, "batch": 64, "draw_batch": 250, "parameters": 1_000_000}.items():
        serving.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    install(options.into) if options.verb == "install" else serve(options)


if __name__ == "__main__":
    main()
