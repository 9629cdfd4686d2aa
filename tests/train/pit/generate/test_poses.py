from __future__ import annotations

import numpy as np
import pytest

from sanreid.train.pit.generate.people.poses import (
    ACTIVITIES,
    LIMITS,
    draw_pose,
    mirror_pose,
    rotations,
)
from sanreid.train.pit.generate.surface import NEUTRAL


def poses(count):
    return [draw_pose(np.random.default_rng([1, n])) for n in range(count)]


def test_angles_stay_within_the_joints_limits():
    for pose in poses(400):
        for name, angle in pose.angles.items():
            low, high = LIMITS[name.split(".")[0]]
            assert low <= angle <= high, (pose.activity, name)


def test_every_activity_comes_in_its_share():
    drawn = [pose.activity for pose in poses(2000)]
    for activity, share in ACTIVITIES.items():
        assert drawn.count(activity) / 2000 == pytest.approx(share, abs=0.04)


def test_mirroring_a_pose_twice_changes_nothing():
    for pose in poses(20):
        assert mirror_pose(mirror_pose(pose)) == pose


def test_people_stay_upright_and_above_ground(studio):
    body = studio.body
    shaped = body.shape(NEUTRAL)
    head, hip = body.bone("head"), body.bone("root")
    for pose in poses(60):
        posed = body.pose(shaped, rotations(pose, shaped, body.bones))
        up = posed.joints[head] - posed.joints[hip]
        assert up[2] > 0.75 * np.linalg.norm(up), pose.activity
        assert posed.vertices[:, 2].min() == pytest.approx(0, abs=1e-4)


def test_flexion_goes_forward(studio):
    body = studio.body
    shaped = body.shape(NEUTRAL)
    pose = poses(1)[0]
    still = dict.fromkeys(pose.angles, 0.0)

    def joints(**changes):
        angles = still | {k.replace("_at_", "."): v for k, v in changes.items()}
        turned = rotations(type(pose)("standing", angles), shaped, body.bones)
        posed = body.pose(shaped, turned)
        return dict(zip(body.bones, posed.joints - posed.joints[0], strict=True))

    before = joints()
    assert joints(hip_at_L=60.0)["lowerleg01.L"][1] < before["lowerleg01.L"][1] - 0.2
    assert joints(knee_at_L=60.0)["foot.L"][1] > before["foot.L"][1] + 0.2
    assert joints(shoulder_at_R=60.0)["lowerarm01.R"][1] < before["lowerarm01.R"][1] - 0.1
    assert joints(elbow_at_R=90.0)["wrist.R"][1] < before["wrist.R"][1] - 0.1
    assert joints(shoulder_out_at_L=60.0)["lowerarm01.L"][0] > before["lowerarm01.L"][0] + 0.1
    assert joints(shoulder_out_at_R=60.0)["lowerarm01.R"][0] < before["lowerarm01.R"][0] - 0.1
    assert joints(twist=20.0)["upperarm01.L"][1] > before["upperarm01.L"][1] + 0.02  # to the left
    assert joints(lean=30.0)["head"][1] < before["head"][1] - 0.1
    assert joints(bend=10.0)["head"][0] > before["head"][0] + 0.03
    assert joints(head_nod=30.0)["eye.L"][2] < before["eye.L"][2] - 0.02
    assert abs(before["wrist.L"][0]) < 0.32  # hanging arms lie beside the body
