"""A share of the differential run in every round of the suite, each time with another seed; `tests/differential.py` runs more."""

import os
import random

import pytest

keras = pytest.importorskip("keras")

from families import FAMILIES, run  # noqa: E402

pytestmark = pytest.mark.parity
SEED = int(os.environ.get("FASTRNN_PARITY_SEED", random.SystemRandom().randrange(10**6)))
CASES = 4  # of each family


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family(K, name):
    found = []
    for seed in range(SEED, SEED + CASES):
        outcome, notes, texts = run(name, seed, K, keras)
        if outcome == "different":
            found.append(f"python tests/differential.py --family {name} --seed {seed} --cases 1\n{notes}\n" + "\n".join(texts))
    assert not found, "\n\n".join(found)
