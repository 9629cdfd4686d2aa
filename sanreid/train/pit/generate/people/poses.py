"""Poses: walking, standing, carrying, cycling, sitting down, with joint limits.

Angles in degrees at joints as a physiotherapist names them; every drawn angle is held within
:data:`LIMITS`. Turns are about the axes of the rest pose (x to the left, y back, z up).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanreid.train.pit.generate.people.body import Array, Shaped

__all__ = [
    "ACTIVITIES",
    "LIMITS",
    "STREET_ACTIVITIES",
    "Pose",
    "draw_pose",
    "mirror_pose",
    "rotations",
]

ACTIVITIES = {
    "walking": 0.50,
    "standing": 0.26,
    "carrying": 0.12,
    "cycling": 0.05,
    "sitting down": 0.03,
    "phoning": 0.04,
}

STREET_ACTIVITIES = {**ACTIVITIES, "cycling": 0.07, "under an umbrella": 0.04}
"""Activities before rendered cameras and their shares."""

LIMITS = {
    "hip": (-30.0, 110.0), "hip_out": (-12.0, 35.0), "knee": (0.0, 130.0), "ankle": (-35.0, 25.0),
    "shoulder": (-50.0, 150.0), "shoulder_out": (-8.0, 80.0), "elbow": (3.0, 140.0),
    "shoulder_in": (-40.0, 70.0), "twist": (-25.0, 25.0), "lean": (-12.0, 50.0),
    "bend": (-12.0, 12.0), "head_turn": (-55.0, 55.0), "head_nod": (-25.0, 40.0),
    "foot_out": (-10.0, 30.0), "fingers": (0.0, 75.0),
}  # fmt: skip
"""Lowest and highest angle of each joint, degrees; flexion and outwards count up."""

_ALSO_WALKING = ("carrying", "phoning", "under an umbrella")
_PAIRED = (
    "hip",
    "hip_out",
    "knee",
    "ankle",
    "shoulder",
    "shoulder_out",
    "shoulder_in",
    "elbow",
    "foot_out",
)


@dataclass(frozen=True, slots=True)
class Pose:
    """An activity and the angles of its joints; a paired joint's name ends in ``.L`` or ``.R``."""

    activity: str
    angles: dict[str, float]
    carries: tuple[str, ...] = ()  # "L", "R": a bag in that hand; "front"; "umbrella.L"


def draw_pose(rng: np.random.Generator, activity: str | None = None) -> Pose:
    """Draw the angles of an activity, and the activity itself where none is given."""
    if activity is None:
        names = list(ACTIVITIES)
        shares = np.array(list(ACTIVITIES.values()))
        activity = names[rng.choice(len(names), p=shares / shares.sum())]
    a = _standing(rng)
    carries: tuple[str, ...] = ()
    if activity == "walking" or (activity in _ALSO_WALKING and rng.random() < 0.6):
        _walk(a, rng)
    if activity == "carrying":
        carries = _carry(a, rng)
    elif activity == "cycling":
        _cycle(a, rng)
    elif activity == "sitting down":
        _sit(a, rng)
    elif activity == "phoning":
        side = str(rng.choice(["L", "R"]))
        a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.uniform(20, 45), rng.uniform(95, 135)
        a[f"shoulder_in.{side}"] = rng.uniform(-10, 30)
        a["head_nod"] = rng.uniform(0, 30)
    elif activity == "under an umbrella":
        side = str(rng.choice(["L", "R"]))
        a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.uniform(15, 35), rng.uniform(100, 130)
        a[f"shoulder_in.{side}"], a[f"fingers.{side}"] = rng.uniform(0, 20), 70
        carries = (f"umbrella.{side}",)
    held = {}
    for name, angle in a.items():
        low, high = LIMITS[name.split(".")[0]]
        held[name] = float(np.clip(angle, low, high))
    return Pose(activity, held, carries)


def mirror_pose(pose: Pose) -> Pose:
    """Return the pose with left and right exchanged."""
    swap = {"L": "R", "R": "L"}
    angles = {}
    for name, angle in pose.angles.items():
        joint, _, side = name.partition(".")
        if side:
            angles[f"{joint}.{swap[side]}"] = angle
        else:
            angles[name] = -angle if joint in ("twist", "bend", "head_turn") else angle
    return Pose(pose.activity, angles, tuple(_other_hand(s, swap) for s in pose.carries))


def _other_hand(carried: str, swap: dict[str, str]) -> str:
    return carried[:-1] + swap[carried[-1]] if carried[-1] in swap else carried


def rotations(pose: Pose, shaped: Shaped, bones: tuple[str, ...]) -> dict[str, Array]:
    """Turn angles into rotations by bone name, for :meth:`Body.pose`.

    Args:
        pose: The angles.
        shaped: The body, whose arm directions the rest pose's own bend is taken from.
        bones: Its bones' names.
    """
    a = {name: np.radians(angle) for name, angle in pose.angles.items()}
    head = dict(zip(bones, shaped.heads, strict=True))
    turn: dict[str, Array] = {}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        thigh = head[f"lowerleg01.{side}"] - head[f"upperleg01.{side}"]
        spread = np.arctan2(sign * thigh[0], -thigh[2])
        out = _about_y(sign * (spread - a[f"hip_out.{side}"]))
        turn[f"upperleg01.{side}"] = _about_x(-a[f"hip.{side}"]) @ out
        turn[f"lowerleg01.{side}"] = _about_x(a[f"knee.{side}"])
        turn[f"foot.{side}"] = _about_x(-a[f"ankle.{side}"]) @ _about_z(
            sign * (a[f"foot_out.{side}"] - 0.1)
        )

        shoulder, elbow, wrist = (
            head[f"{b}.{side}"] for b in ("upperarm01", "lowerarm01", "wrist")
        )
        upper, fore = _unit(elbow - shoulder), _unit(wrist - elbow)
        down = np.arctan2(sign * upper[0], -upper[2])
        hang = _about_y(sign * (down - a[f"shoulder_out.{side}"]))
        inward = _about_z(-sign * a[f"shoulder_in.{side}"])
        whole = _about_x(-a[f"shoulder.{side}"]) @ inward @ hang
        turn[f"clavicle.{side}"] = _about_y(-sign * max(a[f"shoulder_out.{side}"] - 0.7, 0) * 0.3)
        turn[f"upperarm01.{side}"] = whole
        bend = np.arccos(np.clip(upper @ fore, -1, 1))
        axis = _unit(np.cross(upper, fore))
        turn[f"lowerarm01.{side}"] = _about(axis, a[f"elbow.{side}"] - bend)
        first, second, third = (head[f"finger3-{i}.{side}"] for i in (1, 2, 3))
        knuckle = _unit(np.cross(second - first, third - second))
        for finger in "2345":
            for joint in "123":
                turn[f"finger{finger}-{joint}.{side}"] = _about(knuckle, a[f"fingers.{side}"])
    for bone, share in (("spine04", 0.3), ("spine03", 0.3), ("spine02", 0.25), ("spine01", 0.15)):
        turn[bone] = (
            _about_z(a["twist"] * share)
            @ _about_x(a["lean"] * share)
            @ _about_y(a["bend"] * share)
        )
    for bone, share in (("neck01", 0.25), ("neck02", 0.25), ("neck03", 0.2), ("head", 0.3)):
        turn[bone] = _about_z(a["head_turn"] * share) @ _about_x(a["head_nod"] * share)
    return {name: matrix.astype(np.float32) for name, matrix in turn.items()}


def _standing(rng: np.random.Generator) -> dict[str, float]:
    a = {
        "twist": rng.normal(0, 5), "lean": rng.normal(2, 3), "bend": rng.normal(0, 2),
        "head_turn": rng.normal(0, 18), "head_nod": rng.normal(5, 9),
    }  # fmt: skip
    width = rng.uniform(-1, 5)
    for side in "LR":
        a |= {
            f"hip.{side}": rng.normal(2, 4), f"hip_out.{side}": width + rng.normal(0, 2),
            f"knee.{side}": abs(rng.normal(4, 5)), f"ankle.{side}": rng.normal(0, 3),
            f"shoulder.{side}": rng.normal(-2, 8),
            f"shoulder_out.{side}": 9 + abs(rng.normal(2, 5)),
            f"shoulder_in.{side}": rng.normal(5, 10), f"elbow.{side}": abs(rng.normal(20, 14)),
            f"foot_out.{side}": rng.normal(8, 5), f"fingers.{side}": rng.uniform(5, 40),
        }  # fmt: skip
    habit = rng.random()
    if habit < 0.12:  # hands in front: folded, or on a phone
        for side in "LR":
            a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.uniform(5, 30), rng.uniform(70, 110)
            a[f"shoulder_in.{side}"] = rng.uniform(25, 50)
    elif habit < 0.24:  # hands in the pockets
        for side in "LR":
            a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.uniform(-15, 0), rng.uniform(30, 50)
            a[f"shoulder_out.{side}"], a[f"shoulder_in.{side}"] = (
                rng.uniform(14, 24),
                rng.uniform(10, 35),
            )
    return a


def _walk(a: dict[str, float], rng: np.random.Generator) -> None:
    """A moment of the gait: thigh swing, knee bent in the swing phase, arms against the legs."""
    phase, stride = rng.uniform(0, 2 * np.pi), rng.uniform(12, 26)
    swing = rng.uniform(0.2, 1.0)
    for side, shift in (("L", 0.0), ("R", np.pi)):
        p = phase + shift
        a[f"hip.{side}"] = 6 + stride * np.sin(p) + rng.normal(0, 2)
        a[f"knee.{side}"] = (
            8 + 52 * max(np.cos(p + 0.35), 0.0) ** 2 * (stride / 25) + abs(rng.normal(0, 3))
        )
        a[f"ankle.{side}"] = -14 * max(-np.sin(p - 0.3), 0) + rng.normal(0, 3)
        a[f"hip_out.{side}"] = rng.uniform(-2, 4)
        if a[f"elbow.{side}"] < 60:
            a[f"shoulder.{side}"] = -swing * stride * 0.8 * np.sin(p) + rng.normal(0, 4)
            a[f"elbow.{side}"] += 10 + 14 * swing * max(-np.sin(p), 0)
    a["twist"] += 5 * np.sin(phase)
    a["lean"] += rng.uniform(0, 5)


def _carry(a: dict[str, float], rng: np.random.Generator) -> tuple[str, ...]:
    """Something in one hand, in both, or held before the chest."""
    way = rng.integers(3)
    if way == 2:
        for side in "LR":
            a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.uniform(10, 30), rng.uniform(70, 100)
            a[f"shoulder_in.{side}"] = rng.uniform(5, 25)
        return ("front",)
    sides = tuple(rng.permutation(["L", "R"]).tolist()[: 1 + int(way)])
    for side in sides:
        a[f"fingers.{side}"] = 65
        a[f"shoulder.{side}"], a[f"elbow.{side}"] = rng.normal(0, 6), abs(rng.normal(8, 5))
        a[f"shoulder_out.{side}"] = rng.uniform(10, 18)
    if len(sides) == 1:
        a["bend"] += 5 if sides[0] == "L" else -5
    return sides


def _cycle(a: dict[str, float], rng: np.random.Generator) -> None:
    phase = rng.uniform(0, 2 * np.pi)
    a["lean"] = rng.uniform(18, 42)
    a["head_nod"] = -rng.uniform(5, 20)
    for side, shift in (("L", 0.0), ("R", np.pi)):
        p = phase + shift
        a[f"hip.{side}"] = 55 + 25 * np.sin(p)
        a[f"knee.{side}"] = 75 + 30 * np.sin(p + 0.5)
        a[f"ankle.{side}"] = rng.normal(0, 6)
        a[f"hip_out.{side}"] = rng.uniform(2, 8)
        a[f"shoulder.{side}"] = rng.uniform(50, 75)
        a[f"shoulder_in.{side}"] = rng.uniform(-5, 10)
        a[f"elbow.{side}"] = rng.uniform(10, 40)


def _sit(a: dict[str, float], rng: np.random.Generator) -> None:
    depth = rng.uniform(35, 85)
    a["lean"] = depth * 0.5
    a["head_nod"] = -rng.uniform(0, 15)
    for side in "LR":
        a[f"hip.{side}"] = depth
        a[f"knee.{side}"] = depth * 1.15
        a[f"ankle.{side}"] = depth * 0.2
        a[f"hip_out.{side}"] = rng.uniform(3, 15)
        a[f"shoulder.{side}"] = rng.uniform(0, 40)
        a[f"elbow.{side}"] = rng.uniform(20, 80)


def _unit(vector: Array) -> Array:
    unit: Array = vector / max(float(np.linalg.norm(vector)), 1e-9)
    return unit


def _about(axis: Array, angle: float) -> Array:
    """Rotation about a unit axis (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return turn


def _about_x(angle: float) -> Array:
    return _about(np.array([1.0, 0, 0]), angle)


def _about_y(angle: float) -> Array:
    return _about(np.array([0, 1.0, 0]), angle)


def _about_z(angle: float) -> Array:
    return _about(np.array([0, 0, 1.0]), angle)
