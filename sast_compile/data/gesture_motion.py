"""How the simulated subjects move: eleven gestures of two arms, as in DVS Gesture.

Every recording has a number, and the number determines everything: the subject and the take by
counting, all else by draws from generators that it seeds. What a subject does alike in every take
(reach, tempo, where a gesture is held) is drawn from the subject's own generator.

An arm's coordinates are (out, down): from its shoulder, out from the body's middle and down, in
lengths of the arm. The subject faces the camera, so the right arm is on the left of the picture.
Clockwise is as the camera sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other",
)
TAKES = 5  # of each gesture, by each subject
RIGHT, LEFT = 0, 1
SEED = 2017
SECONDS = (5.0, 7.0)  # a recording's length, from and to


class Body(NamedTuple):
    """What a subject looks like; lengths in pixels of the 128x128 sensor."""

    arm: float  # from shoulder to hand
    shoulder: float  # from the body's middle to a shoulder
    sleeve: float  # half the thickness of an upper arm
    wrist: float  # and of a forearm
    waist: float  # half the width
    head: float  # radius
    middle: tuple[float, float]  # (x, y) between the shoulders
    clutter: int  # seed of what stands behind the subject


class Performance(NamedTuple):
    """One recording's subject and motion, at ``moves + 1`` equally spaced moments.

    ``joints`` (moves + 1, 2 arms, 3, 2): shoulder, elbow, hand as (x, y) in pixels. ``sway``
    (moves + 1,): how far the body has moved to the right. Both in steps of 1/64 pixel, so no CPU's
    sine differs. ``draws`` has gone on from there: the camera's share of the number.
    """

    body: Body
    joints: Floats
    sway: Floats
    seconds: float
    draws: np.random.RandomState


def subject_of(number: int) -> int:
    """Who is seen in recording ``number``: each subject performs 5 takes of 11 gestures."""
    return number // (TAKES * len(GESTURES))


def gesture_of(number: int) -> int:
    """The label of recording ``number``: an index of ``GESTURES``."""
    return number % len(GESTURES)


def perform(number: int, moves: int) -> Performance:
    """What is performed in recording ``number``, cut into ``moves`` equal parts."""
    take = _Take(number, moves)
    reach = GESTURE_MOTIONS[gesture_of(number)](take)
    body = _body(take)
    sway = _on_grid(_sway(take))
    joints = np.stack([_arm(body, reach[:, side], side) for side in (RIGHT, LEFT)], axis=1)
    joints[..., 0] += sway[:, None, None]
    return Performance(body, _on_grid(joints), sway, take.seconds, take.draws)


class _Take:
    """The moments of one recording, and its generators: the take's and the subject's own."""

    def __init__(self, number: int, moves: int) -> None:
        subject = subject_of(number)
        self.draws = np.random.RandomState([SEED, 1, number])
        self.looks = np.random.RandomState([SEED, 2, subject])
        self.habits = np.random.RandomState([SEED, 3, subject, gesture_of(number)])
        self.seconds = self.draws.uniform(*SECONDS)
        self.times = np.linspace(0, self.seconds, moves + 1)

    def about(self, mean: float, spread: float) -> float:
        """``mean``, give or take ``spread``: the subject's habit, and what this take adds."""
        habit, now = (float(np.clip(g.randn(), -2, 2)) for g in (self.habits, self.draws))
        return mean + spread * (0.8 * habit + 0.6 * now)

    def phase(self, frequency: float) -> Floats:
        """2 pi times the cycles done at each moment; about ``frequency`` Hz, not quite evenly."""
        hertz = frequency * np.exp(self.about(0.0, 0.22))
        drift = self.draws.uniform(0.05, 0.25)  # Hz; at most 0.6 of the pace comes and goes
        depth = self.draws.uniform(0, 0.4) * min(1.0, hertz / drift / 2)
        start, turn = self.draws.uniform(0, 2 * np.pi, 2)
        even = 2 * np.pi * hertz * self.times
        return np.asarray(start + even + depth * np.sin(2 * np.pi * drift * self.times + turn))

    def wander(self, size: float) -> Floats:
        """A slow drift (moves + 1, 2 arms, 2) of about ``size``."""
        turn = self.draws.uniform(0, 2 * np.pi, (2, 2, 2))
        hertz = self.draws.uniform(0.1, 0.5, (2, 2, 2))
        angles = 2 * np.pi * hertz * self.times[:, None, None, None] + turn
        return np.asarray(size * np.sin(angles).sum(axis=-1))

    def coin(self, chance: float) -> bool:
        """True with this ``chance``."""
        return bool(self.draws.random_sample() < chance)


def _reach(take: _Take, right: tuple[Floats, Floats], left: tuple[Floats, Floats]) -> Floats:
    """The hands (moves + 1, 2 arms, 2), each from its (out, down), never quite still."""
    sides = [np.stack(np.broadcast_arrays(*side), axis=-1) for side in (right, left)]
    return np.stack(sides, axis=1) + take.wander(0.02)


def _one_arm(take: _Take, side: int, moving: tuple[Floats, Floats]) -> Floats:
    """One arm moves, the other hangs."""
    hanging = (np.full_like(take.times, take.about(0.12, 0.05)), np.full_like(take.times, 0.9))
    return _reach(take, *((moving, hanging) if side == RIGHT else (hanging, moving)))


def _clapping(take: _Take) -> Floats:
    phase, width = take.phase(1.3), abs(take.about(0.24, 0.08)) + 0.05
    out = take.about(-0.4, 0.04) + width * (1 - np.cos(phase)) / 2
    down = np.full_like(out, take.about(0.3, 0.15))
    return _reach(take, (out, down), (out, down))


def _waving(side: int) -> Callable[[_Take], Floats]:
    def motion(take: _Take) -> Floats:
        phase, width = take.phase(1.1), abs(take.about(0.2, 0.08)) + 0.06
        out = take.about(0.3, 0.13) + width * np.sin(phase)
        lift = take.about(0.05, 0.08) * np.cos(2 * phase)
        return _one_arm(take, side, (out, take.about(-0.3, 0.2) + lift))

    return motion


def _circling(side: int, clockwise: bool) -> Callable[[_Take], Floats]:
    # out is to the left in the picture for the right arm: there a growing angle is anticlockwise
    sense = 1 if clockwise == (side == LEFT) else -1

    def motion(take: _Take) -> Floats:
        phase, radius = sense * take.phase(0.45), abs(take.about(0.32, 0.1)) + 0.08
        squeeze = take.about(0.9, 0.15)
        out = take.about(0.32, 0.12) + radius * squeeze * np.cos(phase)
        return _one_arm(take, side, (out, take.about(0.0, 0.15) + radius * np.sin(phase)))

    return motion


def _rolling(take: _Take) -> Floats:
    phase = (1 if take.coin(0.5) else -1) * take.phase(1.0)
    radius, depth = abs(take.about(0.13, 0.04)) + 0.04, take.about(0.06, 0.04)
    out, down = take.about(-0.36, 0.08), take.about(0.3, 0.13)
    sides = [
        (out + depth * np.cos(phase + turn), down + radius * np.sin(phase + turn))
        for turn in (0, np.pi)
    ]
    return _reach(take, sides[0], sides[1])


def _drumming(take: _Take) -> Floats:
    phase, height = take.phase(1.1), abs(take.about(0.17, 0.06)) + 0.05
    out, down = take.about(-0.16, 0.12), take.about(0.4, 0.13)
    sides = [
        (out + 0.03 * np.cos(phase + turn), down - height * np.abs(np.sin((phase + turn) / 2)))
        for turn in (0, np.pi)
    ]
    return _reach(take, sides[0], sides[1])


def _strumming(take: _Take) -> Floats:
    phase, slide = take.phase(1.5), take.phase(0.3)
    stroke = abs(take.about(0.1, 0.04)) + 0.04
    along, down = take.about(-0.25, 0.08), take.about(0.45, 0.1)
    strum = (along + 0.3 * stroke * np.sin(phase), down + stroke * np.sin(phase))
    shift = take.about(0.05, 0.03) * np.sin(slide)
    neck = (take.about(0.35, 0.12) + shift, take.about(0.15, 0.13) - 0.3 * shift)
    left_handed = take.habits.random_sample() < 0.15
    return _reach(take, *((neck, strum) if left_handed else (strum, neck)))


def _anything(take: _Take) -> Floats:
    """Sums of two sines of unrelated pace in every coordinate; one arm or both."""
    sides = []
    both, chosen = take.coin(0.5), RIGHT if take.coin(0.5) else LEFT
    for side in (RIGHT, LEFT):
        centre = take.draws.uniform((-0.3, -0.4), (0.5, 0.6))
        pair = [take.draws.uniform(0.05, 0.25) * np.sin(take.phase(0.7)) for _ in range(4)]
        moving = (centre[0] + pair[0] + pair[1], centre[1] + pair[2] + pair[3])
        still = (np.full_like(take.times, 0.12), np.full_like(take.times, 0.9))
        sides.append(moving if both or side == chosen else still)
    return _reach(take, sides[0], sides[1])


GESTURE_MOTIONS: tuple[Callable[[_Take], Floats], ...] = (
    _clapping,
    _waving(RIGHT),
    _waving(LEFT),
    _circling(RIGHT, clockwise=True),
    _circling(RIGHT, clockwise=False),
    _circling(LEFT, clockwise=True),
    _circling(LEFT, clockwise=False),
    _rolling,
    _drumming,
    _strumming,
    _anything,
)


def _body(take: _Take) -> Body:
    looks, now = take.looks, take.draws
    size = looks.uniform(0.85, 1.15) * now.uniform(0.93, 1.07)  # height, and the distance
    x, y = looks.uniform((58, 46), (70, 60)) + now.uniform(-5, 5, 2)
    return Body(
        arm=size * looks.uniform(42, 48),
        shoulder=size * looks.uniform(15, 20),
        sleeve=size * looks.uniform(3.5, 5.5),
        wrist=size * looks.uniform(2.5, 4.0),
        waist=size * looks.uniform(11, 17),
        head=size * looks.uniform(8, 10),
        middle=(float(x), float(y)),
        clutter=int(now.randint(2**31)),
    )


def _sway(take: _Take) -> Floats:
    """The body's own slow motion, up to 2 pixels to either side."""
    size = take.draws.uniform(0, 1, 2)
    turn = take.draws.uniform(0, 2 * np.pi, 2)
    hertz = take.draws.uniform(0.2, 0.9, 2)
    angles = 2 * np.pi * hertz * take.times[:, None] + turn
    return np.asarray((size * np.sin(angles)).sum(axis=1))


def _arm(body: Body, hand: Floats, side: int) -> Floats:
    """Shoulder, elbow and hand (moves + 1, 3, 2) in pixels; ``hand`` (moves + 1, 2) in arms.

    An arm that is not stretched bends at the elbow, half of the slack towards the camera.
    """
    length = np.sqrt((hand**2).sum(axis=1, keepdims=True))
    hand = hand / np.maximum(length, 1.0)
    slack = np.sqrt(np.maximum(1.0 - length**2, 0.0)) / 2
    elbow = hand / 2 + slack * np.array([0.55, 0.55])
    outward = np.array([-1.0 if side == RIGHT else 1.0, 1.0])
    shoulder = np.array(body.middle) + np.array([outward[0] * body.shoulder, 0.0])
    points = [np.zeros_like(hand), elbow, hand]
    return np.stack([shoulder + body.arm * outward * point for point in points], axis=1)


def _on_grid(values: Floats) -> Floats:
    return np.asarray(np.rint(values * 64) / 64)
