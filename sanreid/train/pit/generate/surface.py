"""Where each texel lies in the words of clothes: how far down an arm, how far round a leg.

Everything is measured on one neutral adult in the rest pose, so a point has the same numbers for
every identity, whatever the shape: garments line up from identity to identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanreid.train.pit.generate.atlas import Atlas
from sanreid.train.pit.generate.people.body import Array, Body

__all__ = ["NEUTRAL", "PARTS", "Surface", "measure_surface"]

NEUTRAL = {"gender": 0.5, "age": 0.7, "muscle": 0.5, "weight": 0.5, "height": 0.5}

PARTS = {
    "torso": ("root", "pelvis", "spine", "clavicle", "shoulder01"),
    "arm": ("upperarm", "lowerarm"),
    "hand": ("wrist", "finger", "metacarpal"),
    "leg": ("upperleg", "lowerleg"),
    "foot": ("foot", "toe"),
    "neck": ("neck01", "neck02"),
    "head": ("neck03", "head", "eye"),
}
"""Parts of the body by the first letters of the bones that move them."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Tables over N points (the texels, or the vertices); metres and radians."""

    position: Array  # (N, 3) on the neutral body: x to its left, y to the back, z up
    normal: Array  # (N, 3)
    part: dict[str, NDArray[np.bool_]]  # by name of PARTS: the part with the most weight
    side: Array  # (N,) +1 on the body's left, -1 on its right
    arm: Array  # (N,) 0 shoulder, 1 elbow, 2 wrist
    leg: Array  # (N,) 0 hip joint, 1 knee, 2 ankle; negative above the hip
    around: Array  # (N,) angle about the limb's or the torso's axis, 0 in front
    across: Array  # (N,) metres round the limb or torso, from its front
    along: Array  # (N,) metres down the limb or torso
    azimuth: Array  # (N,) of the head: 0 at the face, +-pi at the back
    elevation: Array  # (N,) of the head: pi/2 at the crown
    neck: Array  # (N,) metres from the base of the neck
    eye: Array  # (N, 2) across from and above the nearer eye, metres
    torso_height: float  # z of the neck's base
    joints: dict[str, Array]  # positions of some joints of the neutral body


def measure_surface(
    body: Body, atlas: Atlas | None = None, *, grid: tuple[Array, Array] | None = None
) -> Surface:
    """Measure every texel of the atlas, or every vertex where none is given.

    Args:
        body: The body.
        atlas: Its atlas; the tables are then (S * S,) long.
        grid: (N, 3) other points and their (N, B) skinning weights to measure instead.
    """
    neutral = body.shape(NEUTRAL)
    joints = dict(zip(body.bones, neutral.heads, strict=True))
    if grid is not None:
        position, skin = grid
    elif atlas is not None:
        position = atlas.on_body(neutral.vertices, body.faces).reshape(-1, 3)
        skin = atlas.on_body(body.skin, body.faces).reshape(-1, len(body.bones))
    else:
        position, skin = neutral.vertices, body.skin
    normals = vertex_normals(neutral.vertices, body.faces)
    if atlas is not None and grid is None:
        normal = atlas.on_body(normals, body.faces).reshape(-1, 3)
    else:
        normal = normals if grid is None else np.zeros_like(position)

    groups = np.stack(
        [skin[:, [b.startswith(names) for b in body.bones]].sum(1) for names in PARTS.values()], 1
    )
    strongest = groups.argmax(1)
    on_body = groups.sum(1) > 0.5
    part = {name: (strongest == i) & on_body for i, name in enumerate(PARTS)}
    side = np.where(position[:, 0] >= 0, 1, -1).astype(np.float32)

    folded = position * np.stack([side, np.ones_like(side), np.ones_like(side)], 1)
    arm, arm_round, arm_down = _along_chain(
        folded, [joints[f"{b}.L"] for b in ("upperarm01", "lowerarm01", "wrist")]
    )
    hip, knee, ankle = (joints[f"{b}.L"] for b in ("upperleg01", "lowerleg01", "foot"))
    z = position[:, 2]
    upper, lower = (hip[2] - z) / (hip[2] - knee[2]), 1 + (knee[2] - z) / (knee[2] - ankle[2])
    leg = np.where(z >= knee[2], upper, lower).astype(np.float32)
    chain = (hip, knee, ankle)
    downwards = [-float(joint[2]) for joint in chain]
    axis = np.stack([np.interp(-z, downwards, [j[i] for j in chain]) for i in (0, 1)], 1)
    leg_round = np.arctan2(folded[:, 0] - axis[:, 0], -(folded[:, 1] - axis[:, 1]))
    torso_round = np.arctan2(position[:, 0], -(position[:, 1] + 0.02))

    limb = part["arm"] | part["hand"]
    legs = part["leg"] | part["foot"]
    around = np.where(limb, arm_round, np.where(legs, leg_round * side, torso_round))
    radius = np.where(limb, 0.05, np.where(legs, 0.075, 0.155))
    along = np.where(limb, arm_down, joints["neck01"][2] - z)

    eye = joints["eye.L"]
    centre = np.array([0, eye[1] + 0.075, eye[2] + 0.012], np.float32)
    from_centre = position - centre
    azimuth = np.arctan2(from_centre[:, 0], -from_centre[:, 1])
    elevation = np.arctan2(from_centre[:, 2], np.hypot(from_centre[:, 0], from_centre[:, 1]))
    collar = joints["neck01"] + np.array([0, 0.0, 0.0], np.float32)
    return Surface(
        position=position,
        normal=normal,
        part=part,
        side=side,
        arm=arm,
        leg=leg,
        around=around.astype(np.float32),
        across=(around * radius).astype(np.float32),
        along=along.astype(np.float32),
        azimuth=azimuth.astype(np.float32),
        elevation=elevation.astype(np.float32),
        neck=np.linalg.norm(position - collar, axis=1).astype(np.float32),
        eye=np.stack([folded[:, 0] - eye[0], z - eye[2]], 1),
        torso_height=float(joints["neck01"][2]),
        joints=joints,
    )


def vertex_normals(vertices: Array, faces: NDArray[np.int32]) -> Array:
    """Mean directions of the triangles round each vertex, (V, 3) of length 1."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.stack(
        [
            np.bincount(faces.ravel(), weights=np.repeat(across[:, i], 3), minlength=len(vertices))
            for i in range(3)
        ],
        1,
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit: Array = (total / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def _along_chain(points: Array, chain: list[Array]) -> tuple[Array, Array, Array]:
    """Place along a chain of joints (0, 1, 2, ...), angle round it, metres down it."""
    best = np.full(len(points), np.inf)
    step, angle, metres = (np.zeros(len(points)) for _ in range(3))
    start = 0.0
    for i in range(len(chain) - 1):
        bone = chain[i + 1] - chain[i]
        length = float(np.linalg.norm(bone))
        unit = bone / length
        offset = points - chain[i]
        down = offset @ unit
        low = -np.inf if i == 0 else 0.0
        high = np.inf if i == len(chain) - 2 else length
        nearest = np.clip(down, low, high)
        distance = np.linalg.norm(offset - nearest[:, None] * unit, axis=1)
        front = np.array([0.0, -1.0, 0.0]) - unit * -unit[1]
        front /= np.linalg.norm(front)
        beside = np.cross(unit, front)
        here = distance < best
        best = np.where(here, distance, best)
        step = np.where(here, i + nearest / length, step)
        metres = np.where(here, start + nearest, metres)
        angle = np.where(here, np.arctan2(offset @ beside, offset @ front), angle)
        start += length
    return step.astype(np.float32), angle.astype(np.float32), metres.astype(np.float32)
