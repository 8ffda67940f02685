from __future__ import annotations

import numpy as np

from models.own.samples import ENOUGH, Ids, random
from serveoff.contract import TensorSpec


def test_drawn_texts_are_words_then_padding() -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    known = [TensorSpec(name=name, dtype="int64", shape=(None, 16)) for name in names]
    drawn, words = random(known, {"input_ids": Ids(40, pad=3), "token_type_ids": Ids(2)})
    ids, mask, segments = drawn.values()
    assert words == "random ids below 40, masks of random length and segments of random length"
    assert set(np.unique(mask)) == {0, 1}
    assert (mask[:, :-1] >= mask[:, 1:]).all(), "what is hidden is at the end"
    assert (ids[mask == 0] == 3).all()
    assert (ids[mask == 1] != 3).all()
    assert ids.min() >= 0
    assert ids.max() < 40
    assert set(np.unique(segments)) == {0, 1}
    assert not segments[mask == 0].any()
    assert len(np.unique(ids, axis=0)) == ENOUGH


def test_ids_alone_have_no_padding() -> None:
    drawn, words = random([TensorSpec(name=f"{what}_ids", dtype="int32", shape=(None, 4)) for what in ("user", "item")], {})
    assert words == "random ids below 100"
    ids = drawn["user_ids"]
    assert ids.dtype == np.int32
    assert ids.min() > 0
