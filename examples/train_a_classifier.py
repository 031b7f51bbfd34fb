"""Normal curves and a handful of faults in, a fault classifier out; its recall on cells nobody has seen, before and after.

python examples/train_a_classifier.py [--steps 200]
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, recall_score

import faultcell as fc
from faultcell.config import Config, FinetuneConfig, TrainConfig

FEW = 8


def arrays(curves: fc.Curves) -> tuple[np.ndarray, np.ndarray]:
    X, y = fc.to_numpy3d(curves, length=128, channels=["voltage_volt"])
    return X.reshape(len(X), -1), y == "overcharge"


def main(steps: int) -> None:
    seen, unseen = fc.demo_data("overcharge").select(step_type=["charge"]).split(by="cell_id", test=0.4, seed=0)
    normal, few = seen.select(label=["normal"]), seen.select(label=["overcharge"]).few(FEW)
    config, finetune = Config(train=TrainConfig(steps=steps)), FinetuneConfig(steps=max(1, steps // 2))
    drawn = fc.augment(normal, few, config=config, finetune=finetune)  # each the next cycle of a normal curve, gone wrong
    (X, y), (X_new, y_new), (X_test, y_test) = (arrays(part) for part in (fc.Curves.concat([normal, few]), drawn, unseen))
    for name, more in (("before", 0), ("after", len(X_new))):
        model = RandomForestClassifier(200, random_state=0)
        model.fit(np.concatenate([X, X_new[:more]]), np.concatenate([y, y_new[:more]]))
        recall = recall_score(y_test, model.predict(X_test))
        area = average_precision_score(y_test, model.predict_proba(X_test)[:, 1])
        print(f"{name:6s} {more:4d} drawn faults added: recall {recall:.2f}, PR-AUC {area:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    main(parser.parse_args().steps)
