"""The configurations behind the page on adapting without labels."""

from pathlib import Path

import pytest

from sanreid.train.config.loader import load_config


@pytest.mark.parametrize("name", ["adaptation_start", "adaptation_market"])
def test_no_source_holds_the_people_it_is_measured_on(name, monkeypatch):
    monkeypatch.setenv("SANREID_DATA", "data")
    monkeypatch.setenv("SANREID_MADE", "made")
    config = load_config(str(Path(__file__).with_name(f"{name}.toml")))
    market = [one for one in config.data.sources if "market1501" in one.folder]
    assert [one.exclude_pids for one in market] == (
        ["data/market1501/dev_pids.txt"] if name == "adaptation_market" else []
    )
    measured = config.evaluation.sets[0].sources[0]
    assert measured.only_pids == "data/market1501/dev_pids.txt"
