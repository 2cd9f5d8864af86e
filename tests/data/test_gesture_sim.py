"""Simulated DVS Gesture: what a recording's number determines, and what the camera sees."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from sast_compile.data import dataset, gesture_sim, recordings
from sast_compile.data.gesture_motion import GESTURES, TAKES, gesture_of, perform, subject_of

MOVES = gesture_sim.BINS * gesture_sim.SUBSTEPS
TURNS = {3: 1, 4: -1, 5: 1, 6: -1}  # labels of circling arms; 1: clockwise in the picture


@cache
def first() -> np.ndarray:
    """The first take of every gesture by the first subject."""
    return gesture_sim.recordings(0, len(GESTURES)).events


def still(number: int, **changes: float) -> gesture_sim.Performance:
    """A performance whose every moment is its first, but for a ``sway`` in pixels."""
    performance = perform(number, MOVES)
    sway = np.linspace(0, changes.get("sway", 0.0), MOVES + 1)
    joints = np.repeat(performance.joints[:1], MOVES + 1, axis=0)
    joints[..., 0] += sway[:, None, None]
    return performance._replace(joints=joints, sway=sway)


def test_the_encoding_is_that_of_the_recorded_set() -> None:
    ours, recorded = dataset("gesture-sim"), dataset("dvs-gesture")
    assert (ours.encoding, ours.dt) == (recorded.encoding, recorded.dt)
    assert ours.simulated
    assert first().shape == (11, recordings.ENCODING.steps, *recordings.GESTURE_SHAPE)
    assert first().dtype == np.uint8
    assert set(np.unique(first())) == {0, 1}


def test_a_number_determines_its_recording_in_any_company() -> None:
    assert np.array_equal(gesture_sim.simulate(3), first()[3])
    assert not np.array_equal(gesture_sim.simulate(3 + 11), first()[3])


def test_splits_share_no_number_and_no_subject() -> None:
    numbers = {name: range(*ends) for name, ends in gesture_sim.NUMBERS.items()}
    assert {name: len(part) for name, part in numbers.items()} == {
        "train": 4400,
        "validation": 550,
        "test": 1100,
    }
    subjects = [{subject_of(n) for n in part} for part in numbers.values()]
    assert len(set.union(*subjects)) == sum(len(each) for each in subjects)
    for part in numbers.values():
        labels = np.bincount([gesture_of(n) for n in part])
        assert labels.tolist() == [len(part) // 11] * 11
        assert len(part) % (TAKES * len(GESTURES)) == 0


def test_every_gesture_is_seen_in_every_bin_and_no_two_alike() -> None:
    counts = first().sum(axis=(2, 3, 4), dtype=int)
    assert counts.min() > 50
    assert counts.max() < 0.6 * first()[0, 0].size
    flat = first().reshape(11, -1).astype(int)
    shared = 2 * flat @ flat.T / (flat.sum(axis=1)[:, None] + flat.sum(axis=1))
    assert shared[~np.eye(11, dtype=bool)].max() < 0.5


@pytest.mark.parametrize("label", TURNS)
def test_an_arm_turns_as_its_gesture_says(label: int) -> None:
    side = 0 if label < 5 else 1
    for take in range(4):
        hand = perform(11 * take + label, MOVES).joints[:, side, 2]
        x, y = (hand - hand.mean(axis=0)).T
        turned = np.unwrap(np.arctan2(y, x))  # y grows downwards: clockwise is positive
        assert TURNS[label] * (turned[-1] - turned[0]) > 2 * np.pi


def test_the_two_senses_are_time_reversals_of_each_other() -> None:
    """The same motions run backwards: distances, pace and place agree in the mean of 40 takes."""

    def facts(label: int) -> np.ndarray:
        hands = [perform(11 * take + label, 60) for take in range(40)]
        paths = np.stack([p.joints[:, 0, 2] / p.body.arm for p in hands])
        pace = np.abs(np.diff(paths, axis=1)).mean(axis=1)
        return np.concatenate([paths.std(axis=1), pace], axis=1).mean(axis=0)

    assert np.allclose(facts(3), facts(4), rtol=0.15)


def test_the_other_arm_hangs() -> None:
    for label, moving in ((1, 0), (2, 1), (3, 0), (6, 1)):
        joints = perform(label, MOVES).joints
        spread = (joints[:, :, 2] - joints[:, :, 0]).std(axis=0).sum(axis=-1)
        assert spread[moving] > 3 * spread[1 - moving]


def test_where_nothing_moves_there_is_only_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gesture_sim, "NOISE", (0.0, 0.0))
    assert not gesture_sim.seen(still(5)).any()
    assert gesture_sim.seen(still(5, sway=2.0)).any()


def test_polarity_1_is_brighter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gesture_sim, "NOISE", (0.0, 0.0))
    monkeypatch.setattr(gesture_sim, "_clutter", lambda seed: np.zeros((128, 128), np.float32))
    for skin, ahead in ((0.9, 1), (-0.9, 0)):
        levels = gesture_sim.Levels(skin, 0.0)  # a shirt as bright as the wall
        monkeypatch.setattr(gesture_sim, "_levels", lambda draws, levels=levels: levels)
        events = gesture_sim.seen(still(0, sway=2.5)).any(axis=0)
        front, back = (np.argwhere(events[p])[:, 1].mean() for p in (ahead, 1 - ahead))
        assert front > back  # moving to the right, the front edge takes on the skin's level


def test_a_pixel_fires_if_one_of_its_sixteen_does() -> None:
    fired = np.zeros((20, 2, 128, 128), dtype=bool)
    fired[7, 1, 127, 8] = True
    assert np.argwhere(gesture_sim._shrunk(fired)).tolist() == [[7, 1, 31, 2]]
