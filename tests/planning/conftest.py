"""Planning's tests search a small made-up book."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_book import by_shared_words

from t2v_studio.library.passages import SearchResult


@pytest.fixture
def search() -> Callable[[str, int], SearchResult]:
    return by_shared_words
