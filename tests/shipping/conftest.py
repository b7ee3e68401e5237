from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Travel


@pytest.fixture
def travel(tmp_path: Path) -> Travel:
    return Travel(tmp_path)
