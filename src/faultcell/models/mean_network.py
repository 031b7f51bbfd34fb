"""What conditions let expect of a curve, learnt by plain regression, and a denoiser of what goes beyond it.

References:
    Han et al., CARD: Classification and Regression Diffusion Models, 2022, https://arxiv.org/abs/2206.07275.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from faultcell.models.diffusion import Diffusion


class Expectation(nn.Module):
    """What conditions let expect.

    Args:
        features: size of the condition vector.
        shape: of what is expected, `(C, L)` or `(2,)`.
        hidden: width.
    """

    def __init__(self, features: int, *, shape: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.shape = shape
        self.first = nn.Sequential(nn.Linear(features, hidden), nn.SiLU())
        self.second = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU())
        self.out = nn.Linear(hidden, math.prod(shape))
        nn.init.zeros_(self.out.weight)

    def forward(self, condition: Tensor) -> Tensor:
        """`condition` `(B, F)` to `(B, *shape)`."""
        hidden = self.first(condition)
        expected: Tensor = self.out(hidden + self.second(hidden))
        return expected.reshape(-1, *self.shape)

    def groups(self) -> list[list[nn.Module]]:
        """The layers from the output inwards."""
        return [[self.out], [self.second], [self.first]]


def around(expected: Tensor, rest: Callable[[Tensor], Tensor], x: Tensor, *, diffusion: Diffusion, t: Tensor) -> Tensor:
    """A prediction for `x` from one for what `x` has beyond its expectation.

    Of a noisy `a x + s n` the network sees `a (x - m) + s n`, where `m` is the expectation; the velocity `a n - s x` is that
    of the rest, less `s m`; the noise is the same.

    Args:
        expected: `m` `(B, ...)`.
        rest: predicts noise or velocity in the rest.
        x: noisy samples `(B, ...)`.
        diffusion: the forward process, for `a`, `s` and what is predicted.
        t: time steps `(B,)`.
    """
    signal, noise = (factor.reshape(-1, *[1] * (x.ndim - 1)) for factor in diffusion.signal_and_noise(t))
    predicted = rest(x - signal * expected)
    return predicted - noise * expected if diffusion.predicts_velocity else predicted
