"""Every knob on one page: frozen pydantic models, JSON in, JSON out, unknown names refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Unfreeze = Literal["progressive", "progressive3", "last", "last3", "all"]
Prediction = Literal["epsilon", "v_prediction"]
Kind = Literal["diffusion", "wgan_gp", "timevae", "timegan"]


# Bounds that no useful model reaches: what lies beyond them in a file was not written by us.
Width = Annotated[int, Field(ge=1, le=4096)]
ChannelWidths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
Scales = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(max_length=16)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GridConfig(_Frozen):
    """The anchored grid a curve is put on: points up to the crossing of the rated limit, and points beyond it."""

    coordinate: Literal["voltage", "time"] = Field(
        "voltage",
        description="voltage: anchored at the limit and registered by voltage; time: at even times, the paper's",
    )
    head: int = Field(96, ge=8, le=2048)
    tail: int = Field(32, ge=4, le=2048)
    warp: float = Field(0.6, ge=0, le=1, description="0: uniform in time; 1: cosine, dense at both ends of the head")

    @property
    def length(self) -> int:
        """Points of a curve."""
        return self.head + self.tail

    @property
    def anchored(self) -> bool:
        """Whether a curve is divided where it crosses its rated limit."""
        return self.coordinate == "voltage"


class NeighbourConfig(_Frozen):
    """What is expected of a curve from known ones, and how much is forgotten of it in training."""

    expect: bool = Field(
        True, description="expect a curve from known ones, and from a reference; else it is drawn whole, as the paper's"
    )
    curves: int = Field(1024, ge=8, le=1_000_000, description="known curves of the source domain that a model keeps, at most")
    forgetful: float = Field(0.0, ge=0, le=1, description="share of curves that are trained once more with less known")
    forget_context: float = Field(0.25, ge=0, le=1, description="share of each context value made unknown in these")
    forget_past: float = Field(0.5, ge=0, le=1, description="share of these without counts and cumulated times")
    forget_cells: float = Field(0.5, ge=0, le=1, description="share of cells, at most, closed to these, nearest first")


class NetConfig(_Frozen):
    """Size of the conditional 1-D U-Net and of the duration network."""

    patch: int = Field(4, ge=1, le=1024, description="neighbouring points the network takes together")
    widths: ChannelWidths = (64, 96, 128)
    attention: tuple[bool, ...] = Field((False, False, True), max_length=8)
    bottleneck_attention: bool = True
    heads: int = Field(4, ge=1, le=1024)
    bias_rank: int = Field(4, ge=0, le=1024, description="rank of the condition bias B_c; 0 for none")
    embedding: int = Field(128, ge=8, le=16_384)
    duration_hidden: int = Field(128, ge=8, le=16_384)
    history_in_curve: bool = Field(
        False, description="tell the curve network counts and cumulated times too (the paper's); else the durations alone"
    )
    context_in_curve: bool = Field(True, description="tell the curve network the context too; else its neighbours alone")
    durations_in_curve: bool = Field(True, description="tell the curve network how long the curve lasts")
    load_in_curve: bool = Field(True, description="tell the curve network a known load")
    expectation: bool = Field(True, description="learn what conditions let expect by regression, and denoise what is beyond it")
    expectation_hidden: int = Field(192, ge=8, le=16_384)

    @model_validator(mode="after")
    def _consistent(self) -> NetConfig:
        if len(self.attention) != len(self.widths):
            raise ValueError(
                f"attention says of {len(self.attention)} levels, widths of {len(self.widths)}: give one value a level"
            )
        attends = [width for width, here in zip(self.widths, self.attention, strict=True) if here]
        for width in (*attends, *([self.widths[-1]] if self.bottleneck_attention else [])):
            if width % self.heads:
                raise ValueError(f"a width of {width} cannot be divided among {self.heads} heads: give a multiple")
        return self


class DiffusionConfig(_Frozen):
    """Noise schedule, what the network predicts, and how it is sampled (the names are those of diffusers)."""

    num_train_timesteps: int = Field(1000, ge=10, le=100_000)
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "linear"
    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(0.02, gt=0, lt=1)
    prediction_type: Prediction = "v_prediction"
    noise_smooth: float = Field(
        0.005, ge=0, le=1, description="share of the noise that owes nothing to the data's correlations"
    )
    noise_scales: Scales = Field(
        (32.0, 12.0), description="length scales of that share, in points of the grid; empty: white noise, the paper's"
    )
    noise_white: float = Field(1e-4, gt=0, le=1, description="variance of the white noise added to it")
    timestep_power: float = Field(
        2.0, ge=1, description="training draws time steps as T u^p: above 1 it dwells on the little noise where curves differ"
    )
    sampler: Literal["angle", "ddim"] = Field("angle", description="angle: ours, exact for Gaussians; ddim: that of diffusers")
    clip_sample_range: float | None = Field(None, gt=0, description="of ddim: no clean curve is taken to be beyond it")
    num_inference_steps: int = Field(2, ge=1, le=1000, description="two do, but for white noise: take twenty there")
    guidance_scale: float = Field(1.0, ge=0, le=1000)


class GanConfig(_Frozen):
    """The conditional Wasserstein GAN with gradient penalty, residual blocks on both sides."""

    latent: int = Field(32, ge=1, le=1024)
    widths: ChannelWidths = Field((96, 64, 48), description="channels from the coarsest level to the finest")
    patch: int = Field(4, ge=1, le=1024)
    hidden: int = Field(128, ge=8, le=16_384)
    critic_updates: int = Field(3, ge=1, description="of the critic for each of the generator")
    gradient_penalty: float = Field(10.0, ge=0)
    pace: float = Field(0.25, gt=0, description="learning rates over that of the run")


class VaeConfig(_Frozen):
    """TimeVAE: a convolutional encoder, and a decoder that adds a trend and a residual."""

    latent: int = Field(12, ge=1, le=1024)
    widths: ChannelWidths = Field((64, 96, 128), description="channels from the finest level to the coarsest")
    patch: int = Field(4, ge=1, le=1024)
    hidden: int = Field(128, ge=8, le=16_384)
    trend_degree: int = Field(3, ge=0, le=64, description="of the polynomial")
    beta: float = Field(1e-3, ge=0, description="weight of the divergence from the prior")
    pace: float = Field(0.5, gt=0, description="learning rate over that of the run")


class TimeGanConfig(_Frozen):
    """TimeGAN: a GAN in the latent space of a recurrent autoencoder, with a supervisor of its dynamics."""

    latent: int = Field(16, ge=1, le=1024)
    hidden: int = Field(64, ge=4, le=16_384)
    patch: int = Field(4, ge=1, le=1024)
    embed_until: float = Field(0.4, gt=0, lt=1, description="share of the run for the autoencoder alone")
    supervise_until: float = Field(0.55, gt=0, lt=1, description="share of the run until which there is no adversary")
    supervision: float = Field(10.0, ge=0, description="weight of the supervised loss for the generator")
    moments: float = Field(10.0, ge=0, description="weight of the loss in mean and spread for the generator")
    pace: float = Field(0.5, gt=0, description="learning rates over that of the run")


class TrainConfig(_Frozen):
    """Pre-training on the source domain. Longer is not better: a network that is trained for long recalls the cells it saw."""

    steps: int = Field(200, ge=1)
    epochs: int | None = Field(None, ge=1, description="passes over the curves of the run, in place of steps")
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(100, ge=0)
    gradient_clip: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.995, ge=0, lt=1)
    drop_condition: float = Field(0.05, ge=0, le=1, description="share of curves trained with every condition unknown")
    drop_known: float = Field(0.3, ge=0, le=1, description="share of curves trained without their known channels")
    condition_noise: float = Field(
        1.0, ge=0, description="std of the noise on scaled context and past: large, lest the network recall the cells it saw"
    )
    duration_noise: float = Field(0.5, ge=0, description="std of the noise on the scaled durations that the curve is told")
    checkpoint_every: int = Field(100, ge=1)
    seed: int = Field(0, ge=0)


class FinetuneConfig(TrainConfig):
    """Adapting to the faults: loss `L_T + lambda_source * L_S`, thawing from the output side inwards."""

    steps: int = Field(100, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    unfreeze: Unfreeze = "progressive"
    lambda_source: float = Field(1.0, ge=0)


class Config(_Frozen):
    """All that a model was made with."""

    model: Kind = "diffusion"
    grid: GridConfig = GridConfig()
    neighbours: NeighbourConfig = NeighbourConfig()
    net: NetConfig = NetConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    gan: GanConfig = GanConfig()
    vae: VaeConfig = VaeConfig()
    timegan: TimeGanConfig = TimeGanConfig()
    gate: bool = Field(
        True,
        description="draw again what no cell could have made; off only to see what a model draws by itself",
    )
    train: TrainConfig = TrainConfig()
    finetune: FinetuneConfig | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.neighbours.expect and not self.grid.anchored:
            raise ValueError("neighbours.expect needs grid.coordinate = voltage: give both, or neither")
        return self

    @property
    def last_run(self) -> TrainConfig:
        """The knobs of the last of the runs that made it."""
        return self.finetune or self.train
