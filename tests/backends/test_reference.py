"""The interpreter's product is exact, by BLAS where that is proven and in integers elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from sast_compile.backends.reference.equations import EXACT, product


@pytest.mark.parametrize("large", [1, 2**20, EXACT // 8 - 1, EXACT // 8, EXACT // 8 + 1])
def test_the_product_is_exact_on_both_sides_of_the_bound(large: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 2, (5, 8))
    weight = rng.choice([large, large - 1, -large], (3, 8))
    wanted = [[sum(int(a) * int(b) for a, b in zip(r, w, strict=True)) for w in weight] for r in x]
    assert product(x, weight).tolist() == wanted


def test_float64_alone_would_round() -> None:
    x, weight = np.ones((1, 3), dtype=np.int64), np.array([[EXACT, 1, 0], [EXACT, 1, 1]])
    assert product(x, weight).tolist() == [[EXACT + 1, EXACT + 2]]
    assert (x.astype(float) @ weight.T.astype(float)).astype(int).tolist() != [
        [EXACT + 1, EXACT + 2]
    ]


def test_empty_products() -> None:
    assert product(np.zeros((0, 4), dtype=np.int64), np.ones((2, 4), dtype=np.int64)).shape == (
        0,
        2,
    )
