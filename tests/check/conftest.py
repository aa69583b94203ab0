"""The fixture of the tests of `presend check`."""

import pytest

from tests.support.checking import Check, checker


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the command without DNS by default."""
    return checker(monkeypatch)
