"""Balance a training set within an imbalanced-learn pipeline, and see what that is worth on cells nobody has seen.

python examples/balance_curves.py [--steps 200]
"""

from __future__ import annotations

import argparse

import numpy as np
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

import faultcell as fc

FEW = 8


def arrays(curves: fc.Curves) -> tuple[np.ndarray, np.ndarray]:
    X, y = fc.to_numpy3d(curves, length=48, channels=["voltage_volt", "surface_temperature_celsius"])
    return X[:, :, :32].reshape(len(X), -1), y == "overdischarge"  # the first two thirds: long before the limit


def main(steps: int) -> None:
    seen, unseen = fc.demo_data("overdischarge").select(step_type=["discharge"]).split(by="cell_id", test=0.4, seed=0)
    few = seen.select(label=["overdischarge"]).few(FEW)
    X, y = arrays(fc.Curves.concat([seen.select(label=["normal"]), few]))
    X_test, y_test = arrays(unseen)
    ways = {
        "nothing": [],
        "SMOTE": [SMOTE(k_neighbors=3, random_state=0)],
        "FaultAugmenter": [fc.FaultAugmenter(n_channels=2, steps=steps, finetune_steps=max(1, steps // 2), random_state=0)],
    }
    for name, balance in ways.items():
        model = make_pipeline(*balance, StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(X, y)
        print(f"{name:15s} PR-AUC {average_precision_score(y_test, model.predict_proba(X_test)[:, 1]):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    main(parser.parse_args().steps)
