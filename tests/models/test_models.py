"""The network computes what its docstrings say: attention with a condition bias, every layer in one thaw group."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from faultcell.config import Config
from faultcell.encoding.condition_vector import RADII, SUPPORT_FEATURES
from faultcell.encoding.network_shape import network_of
from faultcell.models.base import fold, unfold
from faultcell.models.durations import DurationNet
from faultcell.models.unet import ConditionedAttention, UNet, normalised
from strategies import NET

pytestmark = pytest.mark.filterwarnings("error")
C, K, F = 4, 1, 6


def unet(*, attention=(True, True), bottleneck=True, patch=4, widths=(16, 16), length=32):
    torch.manual_seed(0)
    return UNet(
        C,
        known=K,
        features=F,
        length=length,
        widths=widths,
        attention=attention,
        bottleneck_attention=bottleneck,
        heads=2,
        rank=3,
        embedding=16,
        patch=patch,
    )


def shaken(module, seed=1):
    """Every parameter away from its zero initialisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return module


def inputs(count=3, *, seed=2, length=32):
    g = torch.Generator().manual_seed(seed)
    x, condition = torch.randn(count, C, length, generator=g), torch.randn(count, F, generator=g)
    t, known = torch.randint(1000, (count,), generator=g), torch.randn(count, K, length, generator=g)
    return x, t, condition, known, torch.ones(count, K)


def test_every_parameter_gets_a_finite_gradient_and_is_used():
    network = shaken(unet())
    network(*inputs()).square().sum().backward()
    for name, value in network.named_parameters():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name
        assert value.grad.abs().sum() > 0, name


def test_the_network_of_durations_uses_every_parameter():
    network = shaken(DurationNet(F, hidden=16, embedding=16))
    network(torch.randn(3, 2), torch.tensor([1, 50, 900]), torch.randn(3, F)).square().sum().backward()
    assert all(value.grad.abs().sum() > 0 and torch.isfinite(value.grad).all() for value in network.parameters())


# --- attention


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return shaken(ConditionedAttention(8, length=10, heads=2, embedding=5, rank=3))


def by_hand(module, x, condition):
    """softmax(Q K^T / sqrt(d_k) + B_c) V, one head and one position at a time."""
    q, k, v = module.qkv(normalised(x)).chunk(3, dim=2)
    size = 8 // module.heads
    weights = module.weights(condition).reshape(len(x), module.heads, -1)
    out = torch.zeros_like(x)
    for b in range(len(x)):
        for h in range(module.heads):
            rows = slice(h * size, (h + 1) * size)
            bias = sum(weights[b, h, r] * torch.outer(module.rows[h, :, r], module.columns[h, :, r]) for r in range(3))
            logits = q[b, :, rows] @ k[b, :, rows].T / math.sqrt(size) + bias
            out[b, :, rows] = torch.softmax(logits, dim=1) @ v[b, :, rows]
    return x + module.out(out)


def test_attention_is_the_formula(attention):
    x, condition = torch.randn(2, 10, 8), torch.randn(2, 5)
    torch.testing.assert_close(attention(x, condition), by_hand(attention, x, condition), rtol=1e-4, atol=1e-5)


def test_without_condition_weights_it_is_standard_attention(attention):
    with torch.no_grad():
        attention.weights.weight.zero_()
        attention.weights.bias.zero_()
    x = torch.randn(2, 10, 8)
    q, k, v = attention.qkv(normalised(x)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    plain = torch.softmax(q @ k.transpose(-1, -2) / 2, dim=-1) @ v
    expected = x + attention.out(plain.transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, torch.randn(2, 5)), expected, rtol=1e-4, atol=1e-5)


def test_the_bias_is_set_by_the_condition_alone(attention):
    x, one, other = torch.randn(1, 10, 8), torch.randn(1, 5), torch.randn(1, 5)
    assert not torch.allclose(attention(x, one), attention(x, other))
    with torch.no_grad():
        attention.weights.weight.zero_()
    assert torch.equal(attention(x, one), attention(x, other))


def test_attention_starts_as_a_shift():
    torch.manual_seed(0)
    fresh = ConditionedAttention(8, length=10, heads=2, embedding=5, rank=3)
    x = torch.randn(2, 10, 8)
    torch.testing.assert_close(fresh(x, torch.randn(2, 5)), x + fresh.out.bias)


@pytest.mark.parametrize(("levels", "bottleneck"), [((True, True), False), ((False, True), True), ((False, False), False)])
def test_attention_is_where_it_is_asked_for(levels, bottleneck):
    network = unet(attention=levels, bottleneck=bottleneck)
    found = [name for name, module in network.named_modules() if isinstance(module, ConditionedAttention)]
    expected = [f"encoder.{i}.attention" for i, wanted in enumerate(levels) if wanted] + ["middle.0.attention"] * bottleneck
    assert found == expected


# --- the U-Net


def test_the_condition_reaches_the_output_only_where_it_differs():
    network = shaken(unet())
    x, t, condition, known, observed = inputs()
    changed = condition.clone()
    changed[0] += 1
    a, b = network(x, t, condition, known, observed), network(x, t, changed, known, observed)
    assert not torch.allclose(a[0], b[0])
    torch.testing.assert_close(a[1:], b[1:])


def test_known_channels_count_only_where_known():
    network = shaken(unet())
    x, t, condition, known, observed = inputs()
    other = known + torch.randn_like(known)
    assert torch.equal(
        network(x, t, condition, known, torch.zeros_like(observed)), network(x, t, condition, other, torch.zeros_like(observed))
    )
    assert not torch.allclose(network(x, t, condition, known, observed), network(x, t, condition, other, observed))
    never = network(x, t, condition, torch.zeros_like(known), torch.zeros_like(observed))
    zero = network(x, t, condition, torch.zeros_like(known), observed)
    assert not torch.allclose(never, zero)  # unknown is not zero


@given(patch=st.sampled_from([1, 2, 4, 8]), channels=st.integers(1, 5), patches=st.integers(1, 6))
def test_unfold_is_the_inverse_of_fold(patch, channels, patches):
    x = torch.arange(2.0 * channels * patches * patch).reshape(2, channels, patches * patch)
    folded = fold(x, patch)
    assert folded.shape == (2, channels * patch, patches)
    assert torch.equal(folded[0, :patch, 0], x[0, 0, :patch])  # neighbouring points become channels
    assert torch.equal(unfold(folded, patch), x)


def test_a_length_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a length divisible by 8"):
        unet(length=36)
    with pytest.raises(ValueError, match="as many attention switches"):
        unet(attention=(True,))


@pytest.mark.parametrize("widths", [(16,), (16, 16), (8, 16, 16)])
def test_groups_cover_every_parameter_once_from_the_output_inwards(widths):
    config = NET.model_copy(update={"widths": widths, "attention": (True,) * len(widths)})
    network = network_of(Config(net=config), ("overcharge",))
    groups = network.groups()
    listed = [value for group in groups for module in group for value in module.parameters()]
    assert len(listed) == len({id(value) for value in listed})
    assert {id(value) for value in listed} == {id(value) for value in network.parameters()}
    outs = (network.curve, network.durations, network.expectation, network.expected_durations)
    assert groups[0] == [part.out for part in outs]
    assert network.curve.stem in groups[-1]
    order = [[id(module) for module in group] for group in groups]
    position = {name: next(i for i, group in enumerate(order) if id(part) in group) for name, part in named(network)}
    assert position["decoder"] < position["middle"] < position["encoder"] < position["stem"]


def named(network):
    curve = network.curve
    return [("decoder", curve.decoder[-1]), ("middle", curve.middle), ("encoder", curve.encoder[-1]), ("stem", curve.stem)]


# --- what is known of every curve


def test_noise_is_as_smooth_as_curves_of_its_kind_are():
    """Normal ones and faults, without a reference and with one, near and far: the last of the values say which."""
    network = network_of(Config(net=NET), ("overcharge",))
    generator, half = torch.Generator().manual_seed(0), network.shape.features // 2
    network.noise_factor.copy_(torch.randn(network.noise_factor.shape, generator=generator))
    assert SUPPORT_FEATURES[2:] == (*RADII, "faulty", "referenced")
    modes = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    condition = torch.randn(4, 2 * half, generator=generator)
    condition[:, half - 2 : half] = torch.tensor(modes)
    radius = torch.tensor([0.1, 0.5, 1.0, 2.0])[:, None] * torch.arange(1.0, 1 + len(RADII))
    condition[:, half - 2 - len(RADII) : half - 2] = radius.log()
    white = torch.randn(4, *network.noise_factor.shape[2:4], generator=generator)
    found = network.smooth(white, condition)
    for i, (faulty, referenced) in enumerate(modes):
        near, far = torch.einsum("cl,kcml->kcm", white[i], network.noise_factor[int(2 * faulty + referenced)])
        parts = torch.tensor(network.shape.sections)
        share = (radius[i] ** 2 / (1 + radius[i] ** 2)).reshape(-1, len(parts)).repeat_interleave(parts, dim=1)
        expected = (1 - share) * near + share * far
        torch.testing.assert_close(found[i], expected, rtol=1e-4, atol=1e-4)


def test_without_conditions_a_curve_is_told_how_near_its_neighbours_are_and_no_more():
    network = network_of(Config(net=NET), ("overcharge",))
    half, support_features = network.shape.features // 2, len(SUPPORT_FEATURES)
    nothing = network.unconditional(torch.ones(1, 2 * half))[0]
    assert torch.equal(nothing[:half], nothing[half:])
    assert nothing[:half].tolist() == [0.0] * (half - support_features) + [1.0] * support_features
    assert network.shape.always.tolist() == [False] * (half - support_features) + [True] * support_features
