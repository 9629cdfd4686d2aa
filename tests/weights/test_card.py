"""The model card: terms, data, limits, and front matter for the Hub."""

from __future__ import annotations

import dataclasses

from huggingface_hub import ModelCard

from sanreid import weights
from sanreid.config import EncoderConfig


def test_the_card_of_released_weights():
    entry = weights.list_weights()["san-r50"]
    card = weights.model_card(EncoderConfig.from_dict(entry.config), entry=entry, repo_id="o/n")
    front = ModelCard(card).data
    assert (front.license, front.library_name) == ("other", "sanreid")
    assert front.license_name == "research-only-data"
    assert "person-re-identification" in front.tags
    for words in (
        "# san-r50",
        "256 x 128 pixels",
        "from_pretrained('o/n')",
        "| Market-1501, training split | academic research only | 751 | 12,936 |",
        "had to paint the person's whole body texture",
        "non-commercial research",
        "2 epochs; started from `runs/san-r50-small`",
        "taught by the embeddings of `person-reidentification-retail-0277.xml`",
        "reconstruction 10, tr 0.03, cross_camera 0.5",
        f"code of commit `{entry.trained_with['commit']}`",
        entry.limits,
        "## Responsible use",
        "## Limits",
    ):
        assert words in card, words
    metric = entry.metrics[0]
    assert f"| {metric['dataset']} | {metric['protocol']} | {metric['mAP']} |" in card


def test_the_card_of_unknown_weights_claims_nothing():
    card = weights.model_card(EncoderConfig())
    assert card.lower().count("not recorded in this directory") == 3
    assert ModelCard(card).data.license_name == "not-recorded"
    assert "terms of these weights are not recorded" in card
    assert "MIT licence of the library covers its code, not these weights" in card


def a_runs_own(**changes):
    """Return the entry of weights trained by a user on their own pictures."""
    return dataclasses.replace(
        weights.list_weights()["san-r50"],
        **{
            "name": "shop",
            "license": "Under the terms of the training data (shop: ours).",
            "training_data": ({"name": "shop", "terms": "ours", "identities": 2, "crops": 9},),
            "metrics": (),
            "limits": None,
            "trained_with": {
                "commit": "unknown",
                "seed": 3,
                "config": {"loss": {"identity": 1.0}},
            },
            **changes,
        },
    )


def test_the_card_of_user_weights_makes_no_false_claims():
    card = weights.model_card(EncoderConfig(), entry=a_runs_own())
    assert ModelCard(card).data.license_name == "described-in-this-card"
    assert "Market" not in card
    assert "a baseline: trained without texture supervision" in card
    assert "## Training\n\nWeights of the loss's terms: identity 1; seed 3. All settings" in card
    assert "unknown" not in card
    assert "(shop: ours). The MIT licence of the library" in card
    assert card.count("MIT") == 1


def test_initial_weights_are_reported():
    tree = {"loss": {"identity": 1.0}, "init": {"weights": "runs/start"}}
    card = weights.model_card(EncoderConfig(), entry=a_runs_own(trained_with={"config": tree}))
    assert "had no texture supervision; it started from `runs/start`" in card
    assert "baseline" not in card


def test_sizes_of_the_training_are_reported_where_they_are_not_the_encoders():
    run = {"epochs": 5, "sizes": [{"until_epoch": 4, "size": [128, 64]}]}
    for tree, told in (
        ({"run": run}, "5 epochs, to epoch 4 at 128 x 64, then at 96 x 48. All"),
        ({"run": {"epochs": 5}}, "5 epochs, at 96 x 48. All"),
    ):
        trained_with = {"config": tree | {"encoder": {"input_size": [96, 48]}}}
        entry = a_runs_own(trained_with=trained_with)
        assert f"## Training\n\n{told}" in weights.model_card(EncoderConfig(), entry=entry)
    same = {"run": {"epochs": 5}, "encoder": {"input_size": [256, 128]}}
    card = weights.model_card(EncoderConfig(), entry=a_runs_own(trained_with={"config": same}))
    assert "## Training\n\n5 epochs. All" in card


def test_a_teacher_is_reported():
    tree = {"run": {"epochs": 1}, "loss": {"teacher": {"weights": "teacher.xml"}}}
    card = weights.model_card(EncoderConfig(), entry=a_runs_own(trained_with={"config": tree}))
    assert "## Training\n\n1 epoch; taught by the embeddings of `teacher.xml`. All" in card


def test_partial_san_is_described_as_such():
    tree = {"loss": {"identity": 1.0, "reconstruction": 10.0, "tr": 0.0}}
    entry = a_runs_own(trained_with={"config": tree})
    about = weights.model_card(EncoderConfig(), entry=entry).partition("## Input")[0]
    assert "without the Triplet ReID constraint: SAN in part" in about
    described = a_runs_own(trained_with={"config": "nine epochs"})
    assert "not trained by the whole of SAN" in weights.model_card(
        EncoderConfig(), entry=described
    )


def test_known_training_and_limits_are_reported():
    entry = weights.list_weights()["san-pg"]
    config = EncoderConfig()
    entry = dataclasses.replace(
        entry,
        limits="Mixes up people in white.",
        trained_with={"commit": "c" * 40, "seed": 0, "config": {"run": {"epochs": 3}}},
    )
    card = weights.model_card(config, entry=entry)
    assert f"## Training\n\n3 epochs; seed 0; code of commit `{'c' * 40}`. All settings" in card
    assert "## Limits\n\nMixes up people in white.\n\nMade for" in card
    described = dataclasses.replace(
        entry, trained_with={"commit": None, "config": "twelve epochs"}
    )
    assert "## Training\n\nTwelve epochs. All settings" in weights.model_card(
        config, entry=described
    )


def test_table_cells_are_escaped():
    entry = weights.list_weights()["san-r50"]
    metrics = ({"dataset": "a|b", "protocol": "two\nlines", "mAP": 0.5, "rank1": None},)
    card = weights.model_card(EncoderConfig(), entry=dataclasses.replace(entry, metrics=metrics))
    assert "| a\\|b | two lines | 0.5 |  |  |" in card
