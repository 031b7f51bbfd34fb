"""The exact denoiser of Gaussian data through the real sampler gives back the Gaussian: mean and spread."""

import pytest
import torch

from faultcell.config import DiffusionConfig
from faultcell.models.correlated_noise import noise_factor
from faultcell.models.diffusion import Diffusion, guided

pytestmark = pytest.mark.filterwarnings("error", "ignore:__array__ implementation:DeprecationWarning")
PREDICTIONS = ("epsilon", "v_prediction")
MEAN = 0.7


def abar():
    """The linear schedule of Ho et al., in double precision."""
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), dim=0)


def oracle(std, prediction):
    """E[epsilon | x_t] or E[v | x_t] for data N(MEAN, std^2)."""

    def denoise(x, t):
        a, b = (part[:, None] for part in (abar()[t].sqrt(), (1 - abar()[t]).sqrt()))
        surprise = (x - a * MEAN) / (a**2 * std**2 + b**2)
        noise, clean = b * surprise, MEAN + a * std**2 * surprise
        return (noise if prediction == "epsilon" else a * noise - b * clean).to(x.dtype)

    return denoise


def noise(count=1024, size=32, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("std", [0.02, 0.1, 0.5, 1.0])
def test_the_sampler_keeps_mean_and_spread(std, prediction):
    drawn = Diffusion(DiffusionConfig(prediction_type=prediction)).sample(oracle(std, prediction), noise(), steps=20)
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.005 + 0.03 * std)
    assert 0.9 < drawn.std().item() / std < (1.15 if std == 0.02 else 1.1)


@pytest.mark.parametrize("steps", [5, 10, 50])
def test_other_numbers_of_steps_do_not_collapse(steps):
    drawn = Diffusion(DiffusionConfig()).sample(oracle(0.5, "v_prediction"), noise(), steps=steps)
    assert 0.9 < drawn.std().item() / 0.5 < 1.2
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.03)


@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_data_like_the_noise_do_not_move(steps):
    torch.testing.assert_close(
        Diffusion(DiffusionConfig()).sample(lambda x, t: torch.zeros_like(x), noise(), steps=steps), noise()
    )


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("std", [0.7, 1.0])
def test_two_steps_do_where_data_are_as_wide_as_the_noise(std, prediction):
    drawn = Diffusion(DiffusionConfig(prediction_type=prediction)).sample(oracle(std, prediction), noise(), steps=2)
    assert 0.92 < drawn.std().item() / std < 1.03
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02)


@pytest.mark.parametrize("schedule", ["scaled_linear", "squaredcos_cap_v2"])
def test_every_schedule_can_be_sampled(schedule):
    config = DiffusionConfig(beta_schedule=schedule, prediction_type="epsilon")
    drawn = Diffusion(config).sample(lambda x, t: torch.zeros_like(x), noise(4, 2))
    assert torch.isfinite(drawn).all()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_noised_is_the_closed_form(prediction):
    generator = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(1000, 4, 8, generator=generator) for _ in range(2))
    t = torch.arange(1000)
    a, b = abar().sqrt()[:, None, None], (1 - abar()).sqrt()[:, None, None]
    noisy, target = Diffusion(DiffusionConfig(prediction_type=prediction)).noised(x, eps, t)
    torch.testing.assert_close(noisy.double(), a * x + b * eps, atol=2e-5, rtol=1e-4)
    expected = eps.double() if prediction == "epsilon" else a * eps - b * x
    torch.testing.assert_close(target.double(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_time_steps_are_powers_of_uniform_numbers_and_set_by_the_generator(power):
    diffusion = Diffusion(DiffusionConfig(timestep_power=power))
    t = diffusion.timesteps(50_000, torch.Generator().manual_seed(0))
    assert t.min().item() == 0
    assert 990 < t.max().item() <= 999
    for share in (0.25, 0.5, 0.75):  # P(u^p < q) = q^(1/p)
        assert (t < 1000 * share).double().mean().item() == pytest.approx(share ** (1 / power), abs=0.01)
    assert torch.equal(t, diffusion.timesteps(50_000, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("scale", [0.0, 0.25, 1.0, 2.5])
def test_guidance_is_linear_from_the_unconditional_to_the_conditional(scale):
    x, t = noise(8, 4), torch.zeros(8, dtype=torch.long)
    drawn = guided(lambda x, t: 3 * x, lambda x, t: x + 1, scale)(x, t)
    torch.testing.assert_close(drawn, (x + 1) + scale * (3 * x - (x + 1)))


def test_guidance_of_one_asks_the_unconditional_nothing():
    def never(x, t):
        raise AssertionError("the unconditional network was called")

    x, t = noise(2, 2), torch.zeros(2, dtype=torch.long)
    assert torch.equal(guided(lambda x, t: 2 * x, never, 1.0)(x, t), 2 * x)


def test_a_sample_is_a_function_of_its_own_noise_alone():
    diffusion, denoise = Diffusion(DiffusionConfig()), oracle(0.5, "v_prediction")
    start = noise(16, 8)
    drawn = diffusion.sample(denoise, start)
    assert torch.equal(drawn, diffusion.sample(denoise, start))
    assert torch.equal(drawn[[5, 2]], diffusion.sample(denoise, start[[5, 2]]))
    assert not torch.equal(drawn, diffusion.sample(denoise, noise(16, 8, seed=1)))
    assert torch.equal(start, noise(16, 8))  # and leaves it as it was


def test_sampling_takes_as_many_evaluations_as_asked():
    calls = []

    def denoise(x, t):
        calls.append(t)
        return torch.zeros_like(x)

    for steps in (2, 7, None):
        calls.clear()
        Diffusion(DiffusionConfig(num_inference_steps=20)).sample(denoise, noise(2, 2), steps=steps)
        assert len(calls) == (steps or 20)
        assert all(t.shape == (2,) for t in calls)


# --- noise correlated as the data are


def walks(count=64, length=12, seed=0):
    """Random walks of two channels `(count, 2, length)`: neighbours are alike."""
    return torch.randn(count, 2, length, generator=torch.Generator().manual_seed(seed)).cumsum(-1)


def process(length, scales):
    i = torch.arange(length, dtype=torch.float64)
    return sum(torch.exp(-((i[:, None] - i) ** 2) / (2 * scale**2)) for scale in scales) / len(scales)


def covariance(curves, config, mask=None, weight=None):
    known = torch.ones_like(curves, dtype=torch.bool) if mask is None else mask
    weight = torch.ones(len(curves), 2, 2) if weight is None else weight
    factor = noise_factor(curves, known, weight, (8, 4), config).double()
    return factor @ factor.transpose(1, 2)


CORRELATED = DiffusionConfig(noise_smooth=0.1, noise_scales=(4.0, 1.0), noise_white=1e-3)


def test_noise_has_the_declared_covariance_and_head_and_tail_have_their_own():
    found, data = covariance(walks(), CORRELATED), walks().double()
    for channel in (0, 1):
        for part in (slice(0, 8), slice(8, 12)):
            size = part.stop - part.start
            own = torch.cov(data[:, channel, part].T)
            expected = 0.9 * own / own.diagonal().mean() + 0.1 * process(size, (4.0, 1.0))
            expected += 1e-3 * torch.eye(size)
            torch.testing.assert_close(found[channel, part, part], expected, atol=1e-5, rtol=0)
    assert (found[:, :8, 8:] == 0).all()
    means = [found.diagonal(dim1=1, dim2=2)[:, part].mean().item() for part in (slice(0, 8), slice(8, 12))]
    assert means == pytest.approx([1.001, 1.001], abs=1e-3)


def test_each_part_of_a_curve_counts_for_what_it_weighs():
    curves, weight = walks(), torch.ones(64, 2, 2)
    weight[:32, 0, 0] = 0.0
    found = covariance(curves, CORRELATED, weight=weight)
    torch.testing.assert_close(found[0, :8, :8], covariance(curves[32:], CORRELATED)[0, :8, :8])
    torch.testing.assert_close(found[0, 8:, 8:], covariance(curves, CORRELATED)[0, 8:, 8:])
    assert not torch.allclose(found[0, :8, :8], covariance(curves, CORRELATED)[0, :8, :8], atol=1e-3)


def test_with_few_curves_or_unknown_ones_the_noise_is_that_of_the_process():
    plain = covariance(walks(3), CORRELATED)
    torch.testing.assert_close(plain[0, :8, :8], process(8, (4.0, 1.0)) + 1e-3 * torch.eye(8), atol=1e-5, rtol=0)
    mask = torch.ones(64, 2, 12, dtype=torch.bool)
    mask[:, :, 8:] = False
    masked = covariance(walks(), CORRELATED, mask)
    torch.testing.assert_close(masked[:, 8:, 8:], plain[:, 8:, 8:], atol=1e-6, rtol=0)
    torch.testing.assert_close(masked[:, :8, :8], covariance(walks(), CORRELATED)[:, :8, :8], atol=1e-6, rtol=0)


def test_without_length_scales_the_noise_is_white():
    white = DiffusionConfig(noise_scales=())
    assert torch.equal(covariance(walks(), white), torch.eye(12, dtype=torch.float64).expand(2, 12, 12))


@pytest.mark.parametrize("std", [0.1, 1.0])
def test_correlated_noise_keeps_mean_spread_and_correlation(std):
    """Data N(MEAN, std^2 K) under noise N(0, K) have the same exact denoiser, and no direction may collapse."""
    factor = noise_factor(walks(), torch.ones(64, 2, 12, dtype=torch.bool), torch.ones(64, 2, 2), (8, 4), CORRELATED)[0]
    drawn = Diffusion(CORRELATED).sample(oracle(std, "v_prediction"), noise(4096, 12) @ factor.T, steps=20)
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.005 + 0.05 * std)
    torch.testing.assert_close(torch.cov(drawn.T) / std**2, factor @ factor.T, atol=0.2, rtol=0)
    whitened = torch.linalg.solve(factor, (drawn - MEAN).T).std(1) / std
    assert 0.9 < whitened.min().item() <= whitened.max().item() < 1.15
