from __future__ import annotations

from pathlib import Path

import pytest

from export.matrix import matrix, without
from serveoff.registry import FORMATS
from serveoff.selection import Selection
from serveoff.workspace import Workspace

DEFAULT = {"keras.savedmodel.float32", "keras.tflite.float32", "pytorch.onnx.float32", "pytorch.torchscript.float32"}
PRECISIONS = {precision for kind in FORMATS.all().values() for precision in kind.precisions}
NO_WORKSPACE = Workspace(Path("/nowhere"))


def cells(selection: Selection) -> set[str]:
    return {cell.id.partition(".")[2] for cell in matrix(selection, NO_WORKSPACE) if cell.model == "digits_cnn"}


def everything() -> set[str]:
    return {f"{f}.{name}.{p}" for name, kind in FORMATS.all().items() for f, source in kind.sources.items() for p in source.precisions}


def test_without_a_filter_only_the_default_is_exported() -> None:
    assert cells(Selection()) == DEFAULT
    assert cells(Selection(frameworks=("keras",))) == {cell for cell in DEFAULT if cell.startswith("keras.")}


def test_all_means_all_there_is() -> None:
    assert cells(Selection(formats=("all",), precisions=("all",))) == everything()
    assert cells(Selection(formats=("all",))) == everything()
    assert cells(Selection(formats=("all",), precisions=("float32",))) == {cell for cell in everything() if cell.endswith(".float32")}
    for asked in (Selection(precisions=("all",)), Selection(formats=("all",), precisions=("all",), frameworks=("all",), models=("all",))):
        asked.check()
        assert cells(asked) >= DEFAULT


def test_every_precision_of_a_format_is_made_or_has_its_reason() -> None:
    for name, kind in FORMATS.all().items():
        for framework, source in kind.sources.items():
            assert not source.precisions.keys() & source.lacks.keys()
            assert source.precisions.keys() | source.lacks.keys() == PRECISIONS, (name, framework)
            assert all(source.lacks.values())


def test_what_no_model_has_is_a_row_where_it_is_asked_for() -> None:
    def rows(selection: Selection) -> set[str]:
        return {skip.what for skip in without(selection, NO_WORKSPACE)}

    assert rows(Selection()) == set()
    assert rows(Selection(formats=("onnx",))) == set()
    assert rows(Selection(formats=("onnx",), frameworks=("keras",), precisions=("int8", "bfloat16"))) == {"keras.onnx.bfloat16"}
    all_rows = [skip.what for skip in without(Selection(models=("all",), formats=("all",)), NO_WORKSPACE)]
    assert sorted(all_rows) == sorted(
        {f"{f}.{name}.{p}" for name, kind in FORMATS.all().items() for f in kind.sources for p in PRECISIONS} - everything()
    )


@pytest.mark.parametrize("name", FORMATS.names)
def test_a_format_that_is_named_is_exported_whether_or_not_it_is_default(name: str) -> None:
    assert cells(Selection(formats=(name,))) == {f"{framework}.{name}.float32" for framework in FORMATS.load(name).sources}
