"""The validation of a list: the pipeline with the store that the settings name."""

from pathlib import Path

import pytest

from relay.app import validation
from relay.settings import JudgingSettings, load_settings
from relay.stores import StoreError
from validators.verdict import Accept


@pytest.mark.may_block  # a command whose event loop serves nothing else
async def test_a_list_is_judged_where_no_relay_ever_ran() -> None:
    async with validation(load_settings(JudgingSettings, environ={}), dns=False) as judges:
        judged = judges.pipeline.judge(["ann@example.com"])
        assert isinstance(judged, list)
        assert isinstance(judged[0].verdict, Accept)


@pytest.mark.may_block
async def test_a_store_that_was_named_must_be_there(tmp_path: Path) -> None:
    store = f"sqlite://{tmp_path}/missing/presend.db"
    settings = load_settings(JudgingSettings, environ={"PRESEND_STORE": store})
    with pytest.raises(StoreError, match="cannot be opened"):
        async with validation(settings, dns=False):
            pass
