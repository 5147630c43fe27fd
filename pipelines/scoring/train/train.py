"""Trains the lead score's model, on generated data: no real contact is in it.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python train.py --model ../model/lead.json --predictions ../testing/predictions.csv

The data are drawn from a made-up rule with noise (`draw`), so the model says what that rule says: it shows the way, and is to
be replaced by one that was trained on your own outcomes. Any XGBoost classifier with these columns will do.
`--predictions` writes rows with the score that XGBoost itself gives them: what Reachflow's evaluator is checked against.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import xgboost as xgb

FEATURES = [
    "login_count",
    "api_calls",
    "data_uploaded",
    "email_valid",
    "phone_valid",
    "social_profiles",
    "emails_sent",
    "opens",
    "clicks",
    "responses",
]


def draw(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Contacts, and whether each became a customer, by a made-up rule."""
    interest = rng.normal(size=rows)
    logins = rng.poisson(np.exp(1.0 + 0.9 * interest))
    calls = rng.poisson(np.exp(2.0 + 1.2 * interest)) * (rng.random(rows) < 0.5)
    uploaded = np.floor(rng.lognormal(13 + interest, 2.0)) * (rng.random(rows) < 0.4)
    email = rng.random(rows) < 0.9
    phone = rng.random(rows) < 0.6
    social = rng.integers(0, 5, size=rows)
    sent = rng.poisson(6, size=rows)
    opens = rng.binomial(sent, 1 / (1 + np.exp(0.5 - interest)))
    clicks = rng.binomial(opens, 0.3)
    responses = rng.binomial(clicks, 0.3)
    margin = (
        -2.2
        + 0.9 * np.log1p(logins)
        + 0.35 * np.log1p(calls)
        + 0.05 * np.log1p(uploaded)
        + 0.5 * email
        + 0.4 * phone
        + 0.15 * social
        + 0.25 * opens
        + 0.6 * clicks
        + 1.4 * responses
        - 0.2 * sent
    )
    bought = rng.random(rows) < 1 / (1 + np.exp(-margin))
    columns = [logins, calls, uploaded, email, phone, social, sent, opens, clicks, responses]
    return np.column_stack(columns).astype(np.float64), bought.astype(np.int32)


def golden_rows(rows: int, splits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows to check an evaluator with: drawn ones, nothing, very much, missing values, and ones exactly on thresholds."""
    x, _ = draw(rows, rng)
    x[0] = 0
    x[1] = 2.0**40
    for i in range(2, rows, 3):
        feature, threshold = splits[rng.integers(len(splits))]
        x[i, int(feature)] = threshold
    x[4::10, 8] = np.nan
    x[5::20] = np.nan
    return x


def splits_of(model: dict) -> np.ndarray:
    found = []
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        for left, feature, threshold in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"]
        ):
            if left != -1:
                found.append((feature, threshold))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the lead score's model on generated data.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()

    rng = np.random.default_rng(options.seed)
    x, y = draw(options.rows, rng)
    held_x, held_y = draw(options.rows // 4, rng)
    booster = xgb.train(
        {
            "objective": "binary:logistic",
            "max_depth": 4,
            "eta": 0.15,
            "min_child_weight": 20,
            "tree_method": "hist",
            "nthread": 1,
            "seed": options.seed,
        },
        xgb.DMatrix(x, label=y, feature_names=FEATURES),
        num_boost_round=options.trees,
    )
    predicted = booster.predict(xgb.DMatrix(held_x, feature_names=FEATURES))
    loss = -np.mean(held_y * np.log(predicted) + (1 - held_y) * np.log(1 - predicted))
    booster.save_model(options.model)
    model = json.loads(options.model.read_text())
    options.model.write_text(json.dumps(model, separators=(",", ":")) + "\n")
    print(f"{options.trees} trees, log loss on held-out generated rows {loss:.4f}")

    if options.predictions:
        golden = golden_rows(1_500, splits_of(model), rng)
        scores = booster.predict(xgb.DMatrix(golden, feature_names=FEATURES))
        with options.predictions.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*FEATURES, "score"])
            for row, score in zip(golden, scores):
                writer.writerow([*(repr(float(value)) for value in row), repr(float(score))])


if __name__ == "__main__":
    main()
