"""A map on embeddings is the head that it is multiplied into."""

from __future__ import annotations

import torch

from sanreid.config import EncoderConfig
from sanreid.models import build_sa_enc
from sanreid.train.networks.embedding_map import EmbeddingMap, with_map


def test_it_begins_as_identity():
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    output = EmbeddingMap(5)(rows)
    assert torch.equal(output.embedding, rows)
    assert output.stages == ()


def test_the_head_with_a_map_gives_mapped_embeddings():
    config = EncoderConfig(
        backbone="resnet18", head="bnneck", embedding_dim=6, input_size=(64, 32)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = build_sa_enc(config)
    bn = encoder.head.bn
    for x, low in (
        (bn.running_mean, -1.0),
        (bn.running_var, 0.5),
        (bn.weight, 0.5),
        (bn.bias, -1.0),
    ):
        x.data = low + torch.rand(6, generator=generator)
    crops = torch.randn(4, 3, 64, 32, generator=generator)
    matrix = torch.randn(6, 6, generator=generator)
    with torch.inference_mode():
        wanted = encoder.eval()(crops).embedding @ matrix.T
        before = {key: x.clone() for key, x in encoder.state_dict().items()}
        encoder.load_state_dict(with_map(before, matrix))
        found = encoder(crops).embedding
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    changed = {key for key, x in encoder.state_dict().items() if not torch.equal(x, before[key])}
    assert all(key.startswith("head.") for key in changed)
