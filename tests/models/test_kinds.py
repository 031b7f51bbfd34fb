"""Every kind of generative model keeps the same promises, and each computes what its paper says."""

import itertools
import math
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from faultcell.augmenter import Augmenter
from faultcell.config import GanConfig, GridConfig, Kind, TimeGanConfig, TrainConfig, Unfreeze, VaeConfig
from faultcell.curves import grid
from faultcell.encoding.condition_vector import SUPPORT_FEATURES
from faultcell.generation.drawing import CHUNK
from faultcell.models.base import Batch, Phase, Sampling, Shape, fold, masked_mean
from faultcell.models.decoder import folded_load
from faultcell.models.durations import GaussianDurations
from faultcell.models.registry import KINDS, make
from faultcell.models.timegan import _moments_apart
from faultcell.models.vae import Trend
from faultcell.training.loop import State, parameters, train
from strategies import CONFIG, FINETUNE, LOWER

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
SMALL = {
    "grid": GridConfig(head=48, tail=16),
    "train": CONFIG.train.model_copy(update={"steps": 90, "checkpoint_every": 30, "condition_noise": 0.03}),
    "gan": GanConfig(latent=4, widths=(16, 16), hidden=16, critic_updates=2),
    "vae": VaeConfig(latent=3, widths=(16, 16), hidden=16),
    "timegan": TimeGanConfig(latent=4, hidden=8, pace=4),
}
CONFIGS = {kind: CONFIG.model_copy(update={"model": kind, **SMALL}) for kind in KINDS}
TUNE = FINETUNE.model_copy(update={"steps": 15, "checkpoint_every": 5})
PART = dict(zip(CONFIGS, ("net", "gan", "vae", "timegan"), strict=True))
FEATURES, SECRET = 6, 3  # condition values; the one that only the durations are told
SHAPE = Shape(4, sections=(24, 8), known=1, hidden=torch.arange(2 * FEATURES) % FEATURES == SECRET, support_features=2)
NOTHING = torch.zeros(FEATURES).bool()
NEW = [kind for kind in KINDS if kind != "diffusion"]
draw = partial(Augmenter.draw, steps=4)
every_kind, new_kinds = pytest.mark.parametrize("kind", list(KINDS)), pytest.mark.parametrize("kind", NEW)


def network(kind, *, shake=0.1, **knobs):
    """A model of small tensors, its parameters away from their zero initialisation."""
    torch.manual_seed(0)
    part = getattr(CONFIGS[kind], PART[kind]).model_copy(update=knobs)
    made = make(SHAPE, CONFIGS[kind].model_copy(update={PART[kind]: part}))
    with torch.no_grad():
        for value in made.parameters():
            value.add_(shake * torch.randn(value.shape))
    return made


def batch(count=12, **fields):
    """Curves of which some have no tail, and some no known load."""
    g = torch.Generator().manual_seed(0)
    values = torch.randn(count, FEATURES, generator=g)
    curve = values[:, :1, None] + torch.linspace(-1, 1, SHAPE.length) + 0.1 * torch.randn(count, 4, SHAPE.length, generator=g)
    mask, tail = torch.ones(count, 4, SHAPE.length, dtype=torch.bool), torch.ones(count, 2, dtype=torch.bool)
    mask[::3, :, 24:], mask[1, 2], tail[::3, 1] = False, False, False
    known, ones = (torch.arange(count) % 4 > 0).float()[:, None], torch.ones(count, FEATURES)
    made = Batch(curve, mask, values[:, :2].clone(), tail, values, ones, curve[:, :1].clone(), known, torch.ones(count))
    return replace(made, **fields)


def losses(made, data, *, done=1.0):
    """Of each phase by name, all from the same random numbers."""
    return {phase.name: phase.loss(data, torch.Generator().manual_seed(3), done).item() for phase in made.phases()}


@torch.no_grad()
def draws(made, data):
    """Durations and curves drawn for the conditions of a batch."""
    noise = torch.randn(len(data), made.noise_size, generator=torch.Generator().manual_seed(5))
    told, load, how = (
        made.condition_input(data.condition, data.durations, data.durations_mask),
        (data.known, data.observed),
        Sampling(4),
    )
    return made.draw_durations(data.condition, noise, how), made.draw_curve(told, load, noise, how)


def changed(before, after):
    """What is not the same to the bit; what is unknown, NaN, is the same as itself."""
    return {name for name, value in before.items() if not torch.allclose(value, after[name], rtol=0, atol=0, equal_nan=True)}


def same(one, other):
    assert_frame_equal(one.timeseries, other.timeseries, check_exact=True)
    assert_frame_equal(one.halfcycles, other.halfcycles, check_exact=True)


@pytest.fixture(scope="module")
def families(tiny, models):
    """Kind -> (pre-trained, fine-tuned, steps of the pre-training)."""
    made = {"diffusion": (*models, [])}
    for kind in NEW:
        base = Augmenter.pretrain(tiny[0], config=CONFIGS[kind], on_step=(steps := []).append)
        made[kind] = (base, base.finetune(tiny[1], normal=tiny[0], config=TUNE), steps)
    return made


@pytest.fixture
def family(families, kind):
    return families[kind]


def asked(repeat=1):
    conditions = [
        *grid("overdischarge", peak_deviation_volt=(0.2, 0.6), c_rate=0.8, repetition_count=2.0, repeat=repeat),
        *grid("overcharge", peak_deviation_volt=0.15, ambient_temperature_celsius=25.0, repeat=repeat),
        *grid("normal", step_type=("charge", "discharge"), state_of_health=0.9),
    ]
    return [replace(condition, cell_id=f"S{i}") for i, condition in enumerate(conditions)]


@every_kind
def test_a_model_comes_back_from_its_folder_and_draws_the_same_bits(family, kind, tmp_path):
    assert set(KINDS) == set(get_args(Kind))
    model = family[1]
    again = Augmenter.load(model.save(tmp_path / "bundle"))
    assert (again.config, again.sha256, again.base) == (model.config, model.sha256, family[0].sha256)
    assert (again.config.model, type(again.network), again.metrics) == (kind, type(model.network), model.metrics)
    how = {"steps": 4} if kind == "diffusion" else {"steps": 7, "guidance": 3.0}  # of no effect on what draws in one go
    same(draw(model, asked(), range(5)), again.draw(asked(), range(5), **how))


@every_kind
def test_curves_meet_their_peak_exactly_and_do_not_depend_on_their_neighbours(family):
    many = asked(22)
    whole = draw(family[1], many, range(len(many)))
    for rows in ([0], [3, 40, 1], range(CHUNK - 2, CHUNK + 2), [67, 66, 65, 64]):  # over the border of a chunk, too
        same(whole.take(rows), draw(family[1], [many[i] for i in rows], rows))
    lowest = [LOWER - whole.column("voltage_volt")[rows].min() for rows in whole.slices()][:44]
    np.testing.assert_allclose(lowest, [condition.peak_deviation_volt for condition in many[:44]], atol=1e-9)


@every_kind
def test_seed_peak_rate_and_temperature_all_reach_the_voltage(family):
    for fault in ("overcharge", "overdischarge"):  # a load that is drawn, and one that is known
        one = {"peak_deviation_volt": 0.1, "c_rate": 0.6, "ambient_temperature_celsius": 25.0}
        asked = [(one, 1), (one, 1), (one, 2), *(({**one, name: 1.2 * value}, 1) for name, value in one.items())]
        volts = [draw(family[1], grid(fault, **kind), [seed]).column("voltage_volt") for kind, seed in asked]
        assert [np.array_equal(volts[0], other) for other in volts[1:]] == [True, False, False, False, False]


@new_kinds
def test_fine_tuning_leaves_its_base_untouched_and_tells_each_snapshot(family, tiny):
    base, before = family[0], deepcopy(family[0].network.state_dict())
    config, told, seen = TUNE.model_copy(update={"steps": 5}), {}, []
    tell = (1, 3, 5), lambda step, model: told.update({step: (model, deepcopy(model.network.state_dict()), len(seen))})
    watched = base.finetune(tiny[1], config=config, on_step=seen.append, on_snapshot=tell)
    assert not changed(before, base.network.state_dict())
    assert (base.config.finetune, watched.base) == (None, base.sha256)
    assert [(step, count) for step, (_, _, count) in told.items()] == [(1, 1), (3, 3), (5, 5)]
    assert all(not changed(then, model.network.state_dict()) for model, then, _ in told.values())
    assert len({base.sha256, *(model.sha256 for model, _, _ in told.values())}) == 4
    assert told[5][0].sha256 == watched.sha256 == base.finetune(tiny[1], config=config).sha256


@new_kinds
def test_a_resumed_run_repeats_the_bits_of_an_uninterrupted_one(family, tiny, tmp_path, kind):
    def stop(step):
        if step.step == step.steps - 4:  # late, when every optimiser has begun
            raise KeyboardInterrupt

    fresh = partial(Augmenter.pretrain, tiny[0], config=CONFIGS[kind])
    tuned = partial(family[0].finetune, tiny[1], normal=tiny[0], config=TUNE)
    for first, run, whole in ((61, fresh, family[0]), (11, tuned, family[1])):
        with pytest.raises(KeyboardInterrupt):
            run(folder=tmp_path / str(first), on_step=stop)
        resumed = run(folder=tmp_path / str(first), on_step=(seen := []).append)
        assert (seen[0].step, resumed.metrics) == (first, whole.metrics)
        assert not changed(whole.tensors, resumed.tensors)


@every_kind
def test_faults_have_no_say_until_they_are_seen(family):
    base, child = family[:2]
    faults, support_features = base.profile.faults, base.network.shape.features // 2 - len(SUPPORT_FEATURES)
    silent = [
        *range(len(faults)),
        support_features + SUPPORT_FEATURES.index("faulty"),
    ]  # which of them it is, and whether it is one
    seen = torch.tensor([*(name in child.profile.labels for name in faults), True])
    assert 1 < seen.sum() < len(silent)
    for before, after in zip(base.network.input_layers(), child.network.input_layers(), strict=True):
        said = (before.weight != 0).any(0)
        assert not said[silent].any()
        assert said.sum() == len(said) - len(silent)
        assert torch.equal((after.weight[:, silent] != 0).any(0), seen)


@pytest.mark.parametrize(("kind", "name"), [("timevae", "evidence"), ("timegan", "autoencoder")])
def test_a_few_dozen_steps_reduce_the_loss(family, name):
    each, last = [step.losses[name] for step in family[2]], family[0].metrics[-1]
    assert np.mean(each[-8:]) < 0.8 * np.mean(each[:8])
    assert (last["step"], last[name], last["loss"]) == (90, each[-1], pytest.approx(sum(family[2][-1].losses.values())))


def test_a_few_dozen_steps_teach_how_long_curves_last():
    """Of the curves above nothing is left to learn of that: what conditions tell has been expected already."""
    config, data = TrainConfig(steps=60, batch_size=12, warmup=0, drop_condition=0, condition_noise=0), batch()
    made = network("wgan_gp")
    steps = train(State.start(made, config), [data], config=config, noisy=NOTHING)
    each = [step.losses["durations"] for step in steps]
    assert np.mean(each[-8:]) < 0.8 * np.mean(each[:8])


@every_kind
def test_what_is_masked_or_unknown_does_not_count(kind):
    made, data = network(kind), batch()
    where = {"curve": data.mask, "durations": data.durations_mask, "known": data.observed[..., None] > 0}
    other = replace(data, **{name: torch.where(kept, getattr(data, name), 50 + torch.randn(1)) for name, kept in where.items()})
    seen = losses(made, replace(data, curve=data.curve + 1, durations=data.durations + 1))
    assert all(seen[name] != value for name, value in losses(made, data).items())
    assert losses(made, data) == losses(made, other)


@every_kind
def test_curves_of_no_weight_do_not_count(kind):
    """Their number does, for a loss is a mean over the batch; nothing else of them does, not even where they are known."""
    made, rows, mask = network(kind), torch.tensor([2, 5, 7]), batch().mask & (torch.arange(SHAPE.length) < 24)
    data, wild = batch(mask=mask), batch(mask=mask.index_fill(0, rows, True))
    for name in ("curve", "durations", "values", "known"):
        getattr(wild, name)[rows] += 3
    weight = torch.ones(12).index_fill(0, rows, 0)
    without = losses(made, replace(data, weight=weight))
    assert all(without[name] != value for name, value in losses(made, wild).items())
    assert without == losses(made, replace(wild, weight=weight))


@every_kind
@pytest.mark.parametrize("known", [True, False])
def test_every_parameter_has_one_phase_and_a_gradient_finite_even_where_nothing_is_known(kind, known):
    made, data = network(kind, shake=0.1 * known), batch()
    data = replace(data, mask=data.mask & known, durations_mask=data.durations_mask & known)
    names = {id(value): name for name, value in made.named_parameters()}
    for phase in made.phases():
        made.zero_grad(set_to_none=True)
        phase.loss(data, torch.Generator().manual_seed(0), 1.0).backward()
        for value in parameters(phase):
            name = names.pop(id(value))
            assert torch.isfinite(value.grad).all(), name
            # A critic tells differences: what it adds to every curve has no slope.
            assert not known or (value.grad.abs().sum() > 0) == (name != "critic.out.bias"), name
    assert not names


@every_kind
def test_conditions_reach_what_they_should_and_nothing_once_silenced(kind):
    made, data, hidden, other, columns = network(kind), batch(), batch(), batch(), torch.tensor([0, 4])
    lengths, curves = draws(made, data)
    loaded = draws(made, replace(data, known=data.known + 1))[1]
    assert torch.equal((loaded != curves).flatten(1).any(1), data.observed[:, 0] > 0)
    hidden.values[:, SECRET] += 1
    longer, unmoved = draws(made, hidden)
    assert (torch.equal(lengths, longer), torch.equal(curves, unmoved)) == (False, True)
    other.values[:, columns] += 1
    assert all(value != losses(made, other)[name] for name, value in losses(made, data).items())
    made.zero_inputs(columns)  # nothing is left: every layer that conditions enter by is among the entrances
    assert losses(made, data) == losses(made, other)
    assert all(torch.equal(one, two) for one, two in zip(draws(made, data), draws(made, other), strict=True))


@every_kind
@pytest.mark.parametrize("unfreeze", get_args(Unfreeze))
def test_what_is_frozen_stays_the_same_to_the_bit_and_the_opponent_learns(kind, unfreeze):
    """TimeGAN has all of its phases within four steps here."""
    made = network(kind, **({"embed_until": 0.2, "supervise_until": 0.4} if kind == "timegan" else {}))
    groups, before = made.groups(), deepcopy(made.state_dict())
    place = {id(value): i for i, group in enumerate(groups) for part in group for value in part.parameters()}
    place = {name: place[id(value)] for name, value in made.named_parameters()}
    assert len(place) == sum(len(list(part.parameters())) for group in groups for part in group)
    due = {"last": 1, "last3": 3, "all": len(groups)}
    config = TrainConfig(steps=4 if unfreeze in due else 2 * len(groups), batch_size=8, warmup=0, weight_decay=0.5)
    for step in train(State.start(made, config), [batch()], config=config, unfreeze=unfreeze, noisy=NOTHING):
        moved = changed(before, made.state_dict())
        most = 3 if unfreeze == "progressive3" else len(groups)  # one group after the other over the first half of the run
        assert step.thawed == due.get(unfreeze, min(1 + (step.step - 1) * most // len(groups), most))
        assert {place[name] for name in moved} <= set(range(step.thawed))
        assert {name for name in place if name.startswith("critic.")} <= moved
    assert moved == {name for name, group in place.items() if group < step.thawed}
    assert {name for name in place if name.startswith(("critic.", "discriminator."))} <= moved


def test_a_phase_updates_its_own_parts_at_its_own_pace_on_batches_of_its_own():
    made, config, log = network("timevae"), TrainConfig(steps=4, batch_size=8, warmup=0, learning_rate=0.01), []

    def loss(data, generator, done):
        log.append((data.curve, done))
        return made.durations.loss(data).mean() + made.trend.out.weight.square().sum()  # it has a slope for another part, too

    idle = Phase("idle", [made.trend], lambda *_: torch.tensor(2.0))
    made.phases = lambda: [Phase("busy", [made.durations], loss, repeat=3, pace=0.5, betas=(0.5, 0.9)), idle]
    state, before = State.start(made, config), deepcopy(made.state_dict())
    steps = list(train(state, [batch()], config=config, noisy=NOTHING))
    assert changed(before, made.state_dict()) == {name for name in before if name.startswith("durations.")}
    assert torch.equal(made.trend.out.weight.grad, 2 * made.trend.out.weight)  # of the last update alone
    assert [done for _, done in log] == [0, 0, 0, 0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75]
    assert not any(torch.equal(one, two) for (one, _), (two, _) in itertools.combinations(log, 2))
    (group,) = state.optimizers["busy"].param_groups
    assert (group["betas"], group["lr"]) == ((0.5, 0.9), pytest.approx(0.5 * 0.01 * 0.5 * (1 + math.cos(math.pi * 3 / 4))))
    assert [{int(part["step"]) for part in of.state.values()} for of in state.optimizers.values()] == [{12}, set()]
    assert all(step.losses["idle"] == 2 and step.loss == 2 + step.losses["busy"] for step in steps)


@every_kind
def test_a_patch_that_does_not_fit_is_refused(kind):
    with pytest.raises(ValueError, match="divisible"):
        network(kind, patch=3)


def test_durations_are_normal_and_learn_mean_and_spread_of_each_condition():
    durations, data, noise = network("timevae").durations, batch(), torch.randn(12, 2)
    mean, log_std = durations(data.condition)
    each = -Normal(mean, log_std.exp()).log_prob(data.durations) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(durations.loss(data), torch.stack([each[i][data.durations_mask[i]].mean() for i in range(12)]))
    torch.testing.assert_close(durations.draw(data.condition, noise), mean + log_std.exp() * noise)
    which = torch.arange(4000) % 2
    means, stds = torch.tensor([[1.0, -2.0], [-0.5, 0.5]]), torch.tensor([[0.1, 1.0], [0.4, 0.2]])
    lengths = means[which] + stds[which] * torch.randn(4000, 2)
    data = batch(4000, values=F.one_hot(which, FEATURES).float(), durations=lengths, durations_mask=torch.ones(4000, 2).bool())
    durations = GaussianDurations(2 * FEATURES, hidden=16)
    optimizer = torch.optim.Adam(durations.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        durations.loss(data).mean().backward()
        optimizer.step()
    mean, log_std = durations(data.condition[:2])
    torch.testing.assert_close(mean, means, atol=0.06, rtol=0)
    torch.testing.assert_close(log_std.exp(), stds, atol=0, rtol=0.1)


class Made(nn.Module):
    """A hand-made part."""

    def __init__(self, function):
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(()))

    def forward(self, x, *_):
        return self.scale * self.function(x)


@pytest.mark.parametrize("slope", [1.0, 0.0, 3.0, None])
def test_the_critic_is_kept_at_a_slope_of_one_between_real_and_drawn(slope):
    """A straight critic has its slope everywhere; a bowl has one equal to the distance from zero."""
    made, g = network("wgan_gp", gradient_penalty=7.0), torch.Generator().manual_seed(3)
    data = batch(weight=torch.rand(12), mask=torch.ones(12, 4, SHAPE.length).bool())
    way = F.normalize(torch.linspace(1, 2, 4 * SHAPE.length), dim=0)
    made.critic = Made(lambda x: (x.square().sum((1, 2)) / 2 if slope is None else x.flatten(1) @ way * slope)[:, None])
    told, code = made.blurred_condition_input(data, g), torch.randn(12, 4, generator=g)
    fake = made.generator(code, told, (data.known, data.observed))
    between = data.curve + torch.rand(12, 1, 1, generator=g) * (fake - data.curve)
    each = between.flatten(1).norm(dim=1) if slope is None else torch.tensor(slope)
    value = made.critic(fake)[:, 0] - made.critic(data.curve)[:, 0] + 7.0 * (each - 1) ** 2
    found = losses(made, data)
    assert found["critic"] == pytest.approx((data.weight * value).mean().item(), rel=1e-5)
    assert found["generator"] == pytest.approx(-(data.weight * made.critic(fake)[:, 0]).mean().item(), rel=1e-5)


def test_the_evidence_is_error_and_divergence_from_the_prior():
    made, data, g = network("timevae", beta=0.3), batch(weight=torch.rand(12)), torch.Generator().manual_seed(3)
    encoded = torch.randn(12, 6)
    made.encoder, code = Made(lambda _: encoded), Normal(encoded[:, :3], (encoded[:, 3:] / 2).exp())
    told, drawn = made.blurred_condition_input(data, g), code.mean + code.stddev * torch.randn(12, 3, generator=g)
    decoded = made.trend(torch.cat([told, drawn], 1)) + made.decoder(drawn, told, (data.known, data.observed))
    error = torch.stack([(decoded - data.curve)[i][data.mask[i]].square().mean() for i in range(12)])
    value = error + 0.3 * kl_divergence(code, Normal(0.0, 1.0)).sum(1)
    assert losses(made, data)["evidence"] == pytest.approx((data.weight * value).mean().item(), rel=1e-5)


@pytest.mark.parametrize("degree", range(5))
def test_a_trend_is_a_polynomial_of_its_degree(degree):
    torch.manual_seed(0)
    drawn = Trend(6, shape=replace(SHAPE, sections=(6, 2)), degree=degree, hidden=8)(torch.randn(3, 6)).double()
    assert drawn.diff(n=degree + 1).abs().max() < 1e-5
    assert degree == 0 or drawn.diff(n=degree).abs().max() > 1e-3


def test_the_losses_of_timegan_are_those_of_its_paper():
    made, data, g = network("timegan", moments=0.0), batch(), torch.Generator().manual_seed(3)
    told, load = made.blurred_condition_input(data, g), folded_load((data.known, data.observed), 4).transpose(1, 2)
    points, mask = (fold(x, 4).transpose(1, 2) for x in (data.curve * data.mask, data.mask))
    latent = made.embedder(torch.cat([points, load], 2), told).sigmoid()
    error = masked_mean((made.recovery(torch.cat([latent, load], 2), told) - points) ** 2, mask).mean().item()
    ahead = (latent[:, 1:] - made.supervisor(latent, told).sigmoid()[:, :-1]).square().mean().item()
    for done, expected in ((0.0, 0), (0.399, 0), (0.4, ahead), (0.549, ahead)):  # embed_until and supervise_until
        early = losses(made, data, done=done)
        assert (early["autoencoder"], early["generator"], early["discriminator"]) == pytest.approx((error, expected, 0))
    made.discriminator, z = Made(lambda x: 0 * x[..., :1]), torch.randn(12, 8, 4)  # undecided
    late = losses(made, data, done=0.55)
    assert late["autoencoder"] == pytest.approx(error + 0.1 * ahead)
    assert late["generator"] == pytest.approx(2 * math.log(2) + 10 * math.sqrt(ahead))
    assert late["discriminator"] == pytest.approx(3 * math.log(2))
    latent = made.supervisor(made.generator(torch.cat([z, load], 2), told).sigmoid(), told).sigmoid()
    drawn = made.draw_curve(told, (data.known, data.observed), F.pad(z.flatten(1), (2, 0)), Sampling())
    torch.testing.assert_close(fold(drawn, 4).transpose(1, 2), made.recovery(torch.cat([latent, load], 2), told))
    for logit, learns in ((3.0, False), (2.9, True)):  # 3 log(1 + exp(-logit)) is on either side of 0.15
        made.discriminator = Made(lambda x, said=[-logit, -logit, logit]: 0 * x[..., :1] + said.pop())
        assert made.phases()[2].loss(data, g, 1.0).requires_grad == learns


def test_timegan_matches_mean_and_spread_of_every_point():
    data, drawn = batch(weight=torch.arange(12) % 3 + 1.0), batch(24).curve[12:]
    each = torch.arange(12).repeat_interleave(data.weight.long())  # a weight of three is a curve that is there three times
    real, made, mask = (x[each].numpy() for x in (data.curve, drawn, data.mask))
    mean, var = ([f(x, axis=0, where=mask) for x in (real, made)] for f in (np.mean, np.var))
    apart = np.abs(mean[0] - mean[1]) + np.abs(np.sqrt(var[0] + 1e-6) - np.sqrt(var[1] + 1e-6))
    assert _moments_apart(drawn, data).item() == pytest.approx(apart.mean(), rel=1e-5)
