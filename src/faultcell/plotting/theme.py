"""How each source looks on every figure of a page: a name, a colour, a marker and a line of its own.

Colours of Okabe and Ito (Color Universal Design, 2008, https://jfly.uni-koeln.de/color/), which colour-blind readers can tell
apart; markers and lines differ too, so that a black-and-white print can be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from faultcell.baselines.classical import CONTROLS
from faultcell.study.plan import GENERATORS, from_normal

GREY, INK, DRAWN = "#6b7280", "#1f2937", "#d55e00"


@dataclass(frozen=True)
class Look:
    """How a source is drawn.

    Attributes:
        name: for readers.
        colour: of marker and line.
        marker: of points.
        line: its style.
        hollow: whether markers are empty.
    """

    name: str
    colour: str = GREY
    marker: str = "o"
    line: str = "-"
    hollow: bool = False

    def dot(self, size: float = 6) -> dict[str, Any]:
        """Arguments of a marker without a line."""
        face = "white" if self.hollow else self.colour
        return {"marker": self.marker, "color": self.colour, "mfc": face, "ms": size, "ls": "none"}

    def stroke(self, width: float = 1.4) -> dict[str, Any]:
        """Arguments of a line without markers."""
        return {"color": self.colour, "ls": self.line, "lw": width}


LOOKS = {
    "real": Look("real", INK, "o", "-", hollow=True),
    "few": Look("the handful", "#e69f00", "*"),
    "floor": Look("floor: a real cycle and the next", INK, "|"),
    "diffusion": Look("diffusion", DRAWN, "o", "--"),
    "synthetic": Look("drawn curves", DRAWN, "D", "--"),
    "wgan_gp": Look("WGAN-GP", "#0072b2", "s", "-."),
    "timevae": Look("TimeVAE", "#009e73", "^", (0, (5, 1, 1, 1, 1, 1))),  # type: ignore[arg-type]
    "timegan": Look("TimeGAN", "#cc79a7", "D", (0, (2, 1))),  # type: ignore[arg-type]
    "paper": Look("the paper's diffusion", "#f0b400", "o", (0, (4, 2))),  # type: ignore[arg-type]
    "paper_wgan_gp": Look("GAN on the paper's grid", "#56b4e9", "v", (0, (4, 2, 1, 2))),  # type: ignore[arg-type]
    "replay": Look("nearest replay", GREY, "P", ":", hollow=True),
    "jitter": Look("jitter", GREY, "v", hollow=True),
    "scaling": Look("scaling", GREY, "<", hollow=True),
    "time_warp": Look("time warp", GREY, ">", hollow=True),
    "interpolate": Look("interpolation", GREY, "X", hollow=True),
    "smote": Look("SMOTE", GREY, "h", hollow=True),
    "bootstrap": Look("bootstrap", GREY, "p", hollow=True),
    "mean_curve": Look("mean curve", GREY, "d", (0, (1, 2)), hollow=True),  # type: ignore[arg-type]
    "augment": Look("from normal curves", DRAWN, "*"),
    "splice": Look("splice", GREY, "8", hollow=True),
    "noise": Look("white noise", "#9ca3af", "x"),
    "before": Look("before: real curves only", INK, "H", hollow=True),
    "class_weights": Look("class weights", "#56b4e9", "s", hollow=True),
}
LOOKS |= {
    from_normal(name): replace(LOOKS[name], name=f"{LOOKS[name].name}, from normal curves", marker="*")
    for name in GENERATORS
    if from_normal(name) not in LOOKS
}
FAULT_LOOKS = (Look("", "#d55e00", "o", "-"), Look("", "#0072b2", "s", "--"), Look("", "#009e73", "^", "-."))
CLASSIFIERS = {
    "mlp": "MLP",
    "cnn": "1D-CNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "bilstm": "Bi-LSTM",
    "cnn_lstm": "CNN-LSTM",
    "forest": "forest",
    "minirocket": "MiniRocket",
    "protocol": "protocol alone",
    "threshold": "voltage threshold",
    "temperature_limit": "temperature limit",
    "fastest_rise": "fastest rise of temperature",
    "time_to_limit": "time to the limit",
    "charge_between_voltages": "charge between voltages",
    "mean_temperature": "mean temperature",
    "peak_temperature": "peak temperature",
    "voltage_at_charge": "voltage at equal charge",
    "rest_drop": "voltage of the rest",
    "filter": "Kalman filter, CUSUM",
    "thermal_residual": "thermal model",
    "charge_balance": "charge balance",
    "features_curve": "features: curve alone",
    "features_reference": "features: and a normal curve",
    "features_cycle": "features: and the other half-cycle",
}
VIEWS = {
    "whole": "whole curve",
    "in_limits": "within the limits",
    "thermal": "with the temperature",
    "relative": "beside the cell's own normal curve",
    "residual": "with what models of the cell do not foresee",
}


def look(source: str) -> Look:
    """How a source is drawn; a plain grey point where it is not known."""
    return LOOKS.get(source, Look(source.replace("_", " "), hollow=True))


def kind(source: str) -> str:
    """`generator`, `cheap`, or `reference` for the floor and noise."""
    drawn = (*GENERATORS, *map(from_normal, GENERATORS), "synthetic")
    return "generator" if source in drawn else "cheap" if source in CONTROLS else "reference"


def spoken(sentence: str) -> str:
    """A sentence with the names of sources as readers know them."""
    names = {name: shown.name for name, shown in LOOKS.items() if kind(name) != "reference" or "_" in name}
    names |= {"In_limits view": "Within the limits", "Whole view": "Whole curve", "before (": "real curves only ("}
    found = "|".join(rf"\b{re.escape(name)}" + r"\b" * name[-1].isalpha() for name in names)
    return re.sub(rf"(?<!nearest )(?:{found})", lambda match: names[match[0]], sentence)
