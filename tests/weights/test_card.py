"""The model card: terms, data and limits on it, and front matter that the Hub reads."""

from __future__ import annotations

import dataclasses

from huggingface_hub import ModelCard

from sanreid import weights
from sanreid.config import EncoderConfig


def test_the_card_of_released_weights():
    entry = weights.list_weights()["baseline-r50"]
    card = weights.model_card(EncoderConfig.from_dict(entry.config), entry=entry, repo_id="o/n")
    front = ModelCard(card).data
    assert (front.license, front.library_name) == ("other", "sanreid")
    assert front.license_name == "research-only-data"
    assert "person-re-identification" in front.tags
    for words in (
        "# baseline-r50",
        "128 x 64 pixels",
        "from_pretrained('o/n')",
        "| Market-1501 train | academic research only | 751 | 12,936 |",
        "a baseline: trained without texture supervision",
        "non-commercial research",
        "## Responsible use",
        "## Limits",
    ):
        assert words in card, words
    metric = entry.metrics[0]
    assert f"| {metric['dataset']} | {metric['protocol']} | {metric['mAP']} |" in card


def test_the_card_of_unknown_weights_claims_nothing():
    card = weights.model_card(EncoderConfig())
    assert card.lower().count("not recorded in this directory") == 4
    assert ModelCard(card).data.license_name == "not-recorded"
    assert "terms of these weights are not recorded" in card
    assert "MIT licence of the library covers its code, not these weights" in card


def test_a_san_name_says_texture():
    entry = dataclasses.replace(weights.list_weights()["baseline-r50"], name="san-r50")
    card = weights.model_card(EncoderConfig(), entry=entry)
    assert "texture" in card
    assert "baseline" not in card.partition("## Input")[0]


def test_what_is_known_of_the_training_and_of_its_faults_is_told():
    entry = weights.list_weights()["san-pg"]
    config = EncoderConfig()
    entry = dataclasses.replace(
        entry,
        limits="Mixes up people in white.",
        trained_with={"commit": "c" * 40, "seed": 0, "config": {"run": {"epochs": 3}}},
    )
    card = weights.model_card(config, entry=entry)
    assert f"## Training\n\nCode of commit `{'c' * 40}`; seed `0`. All" in card
    assert "## Limits\n\nMixes up people in white.\n\nMade for" in card
    told = dataclasses.replace(entry, trained_with={"commit": None, "config": "twelve epochs"})
    assert "## Training\n\nTwelve epochs. All" in weights.model_card(config, entry=told)


def test_cells_stay_cells():
    entry = weights.list_weights()["baseline-r50"]
    metrics = ({"dataset": "a|b", "protocol": "two\nlines", "mAP": 0.5, "rank1": None},)
    card = weights.model_card(EncoderConfig(), entry=dataclasses.replace(entry, metrics=metrics))
    assert "| a\\|b | two lines | 0.5 |  |  |" in card
