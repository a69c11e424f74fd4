"""One seed and one thread for every test, so that a failure comes back and two workers share two cores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

#: Makers of golden values import peers that the tests do without; the recipe in a golden run is a text, never executed.
collect_ignore_glob = ["golden/make_*.py", "golden/run_format_1/*"]


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
