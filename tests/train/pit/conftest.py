from __future__ import annotations

import pytest

from sanreid.errors import MissingExtraError
from sanreid.train.pit.body import cached_body
from sanreid.train.pit.render import Studio


@pytest.fixture(scope="session")
def studio() -> Studio:
    """The body and its tables; skips where the extra is missing or the body not built yet."""
    try:
        built = cached_body().exists()
    except MissingExtraError as error:
        pytest.skip(str(error))
    if not built:
        pytest.skip(
            "The body model was not built on this machine, which takes minutes: "
            "run python -m sanreid.train.pit preview sheet.png --identities 1 once."
        )
    return Studio.open()
