"""What the paper reports, to stand beside our numbers.

Source: Limited-Data Augmentation for Fault Diagnosis in Lithium-Ion Battery Energy Storage Systems via Transferable
Conditional Diffusion, Batteries 2025, 11(7), 248. C is its mild overcharge, D its mild overdischarge. It says neither how many
bins its divergence has nor which real curve a generated one is compared with, and its data are not public: no number of ours
can be set against one of its as better or worse; they stand side by side for orientation.
"""

from __future__ import annotations

CITATION = "Batteries 2025, 11(7), 248"
LETTER = {"overcharge": "C", "overvoltage": "C", "overdischarge": "D"}

# Table 1: epochs.
COST = {"wgan_gp": (3000, 1200), "diffusion": (200, "150-200")}

# Figures 6 to 8: (row, fault) -> metric -> value; what the text does not give is missing.
FIDELITY: dict[tuple[str, str], dict[str, float]] = {
    ("diffusion", "C"): {"kl": 0.00995, "mse": 0.01257, "mae": 0.08035, "pcc": 0.91425},
    ("wgan_gp", "C"): {"mae": 0.05088, "pcc": 0.97553},
    ("diffusion", "D"): {"kl": 0.01533, "pcc": 0.93535},
    ("wgan_gp", "D"): {"pcc": 0.98937},
    ("no attention", "C"): {"mae": 0.24, "pcc": 0.29},
    ("attention", "C"): {"mae": 0.08, "pcc": 0.91},
    ("all", "C"): {"mae": 0.177, "pcc": 0.764},
    ("last3", "C"): {"pcc": 0.914},
}

# Figure 9: (classifier, fault) -> recall and F1 before and after; bounds as the text gives them.
DIAGNOSIS: dict[tuple[str, str], dict[str, str]] = {
    **{
        (name, "C"): {"recall before": "<= 0.05", "F1 before": "<= 0.05", "recall after": "0.92", "F1 after": "0.96"}
        for name in ("CNN-LSTM", "GRU", "LSTM")
    },
    **{
        (name, "C"): {"recall before": "<= 0.05", "F1 before": "<= 0.05", "recall after": "1.0", "F1 after": "1.0"}
        for name in ("Bi-LSTM", "1D-CNN")
    },
    **{
        (name, "D"): {"recall before": "<= 0.05", "F1 before": "<= 0.05", "recall after": "> 0.91", "F1 after": "> 0.91"}
        for name in ("CNN-LSTM", "GRU", "LSTM")
    },
    **{
        (name, "D"): {"recall before": "<= 0.05", "F1 before": "<= 0.05", "recall after": "1.0", "F1 after": "1.0"}
        for name in ("Bi-LSTM", "1D-CNN")
    },
    ("MLP", "D"): {"recall before": "0.67", "F1 before": "0.80"},
}
