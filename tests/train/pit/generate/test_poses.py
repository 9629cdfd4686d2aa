from __future__ import annotations

import numpy as np
import pytest

from sanreid.train.pit.generate.people.identity import draw_person
from sanreid.train.pit.generate.people.poses import (
    ACTIVITIES,
    LIMITS,
    STREET_ACTIVITIES,
    draw_pose,
    mirror_pose,
    rotations,
)
from sanreid.train.pit.generate.scenes.props import draw_props
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


@pytest.mark.parametrize("activity", STREET_ACTIVITIES)
def test_an_activity_can_be_asked_for(activity):
    for number in range(20):
        pose = draw_pose(np.random.default_rng([3, number]), activity)
        assert pose.activity == activity
        assert mirror_pose(mirror_pose(pose)) == pose
        for name, angle in pose.angles.items():
            low, high = LIMITS[name.split(".")[0]]
            assert low <= angle <= high, (activity, name)


def test_an_umbrella_is_held_above_the_head(studio):
    dressed = studio.dress(draw_person(np.random.default_rng(0)))
    for number in range(6):
        pose = draw_pose(np.random.default_rng(number), "under an umbrella")
        (carried,) = pose.carries
        figure = studio.pose(dressed, pose)
        stick, canopy = draw_props(np.random.default_rng(1), studio, figure, pose).meshes[-2:]
        head = figure.meshes[0].vertices[:, 2].max()
        assert canopy.vertices[:, 2].max() > head + 0.1
        assert np.ptp(canopy.vertices[:, 0]) > 0.7
        hand = figure.posed.joints[studio.body.bone(f"finger3-1.{carried[-1]}")]
        assert np.linalg.norm(stick.vertices - hand, axis=1).min() < 0.05


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
