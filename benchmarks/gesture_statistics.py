"""What simulated DVS Gesture looks like, and what a linear classifier makes of it, as tables.

    .venv/bin/python benchmarks/gesture_statistics.py

The classifier (logistic regression, scikit-learn) sees how often each pixel of each polarity fired,
not when: the control that shows how much of the task is motion. Its penalty is chosen on the
validation split.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from sast_compile.data import Split, load_dataset
from sast_compile.data.gesture_motion import GESTURES

PENALTIES = (0.01, 0.1, 1.0)  # scikit-learn's C: its inverse


def main() -> None:
    """Prints events by gesture, then the classifier's accuracy and what it confuses."""
    parts = {name: load_dataset("gesture-sim", name) for name in ("train", "validation", "test")}
    _print_events(parts["train"])
    counts = {name: shares(part) for name, part in parts.items()}
    fits = [_fitted(counts["train"], parts["train"].labels, c) for c in PENALTIES]
    right = [fit.score(counts["validation"], parts["validation"].labels) for fit in fits]
    best = fits[int(np.argmax(right))]
    n = {name: len(part.labels) for name, part in parts.items()}
    found = best.predict(counts["test"])
    print(
        f"\nlinear classifier on event counts, C = {best.C:g}: validation {max(right):.2%} "
        f"(n = {n['validation']}), test {np.mean(found == parts['test'].labels):.2%} "
        f"(n = {n['test']})\n"
    )
    _print_confusions(parts["test"].labels, found)


def shares(split: Split) -> npt.NDArray[np.float64]:
    """The share of its bins in which each pixel of each polarity fired: (n, 2048)."""
    return np.asarray(split.events.mean(axis=1).reshape(len(split.labels), -1))


def _fitted(
    counts: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], c: float
) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=1000).fit(counts, labels)


def _print_events(split: Split) -> None:
    totals = split.events.sum(axis=(1, 2, 3, 4))
    print("| gesture | binary events a recording | standard deviation |\n|---|---|---|")
    for label, name in enumerate(GESTURES):
        own = totals[split.labels == label]
        print(f"| {name} | {own.mean():.0f} | {own.std():.0f} |")
    share = split.events[:, :, 1].sum() / totals.sum()
    print(f"\nall: {totals.mean():.0f}, polarity 1: {share:.3f}, n = {len(totals)}")


def _print_confusions(labels: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> None:
    print("| gesture | right | most often taken for |\n|---|---|---|")
    for label, name in enumerate(GESTURES):
        given = np.bincount(found[labels == label], minlength=len(GESTURES))
        right, given[label] = given[label], 0
        print(f"| {name} | {right} of {np.sum(labels == label)} | {GESTURES[given.argmax()]} |")


if __name__ == "__main__":
    main()
