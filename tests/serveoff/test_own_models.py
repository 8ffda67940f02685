"""What a path is, by looking only: nothing here loads a framework, unpickles anything, or runs the user's code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from serveoff import own_models, storage
from serveoff.contract import TensorSpec
from serveoff.errors import InputError, ServeoffError, UsageError
from serveoff.own_models import Description
from serveoff.workspace import Workspace

NOTHING = Description()
BOTH = "raise SystemExit('this code ran')\ndef build_pytorch(): ...\ndef build_keras(): ...\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def write(path: Path, content: bytes | str = "") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def torch_zip(path: Path, *names: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return str(path)


def test_a_model_file_is_read_and_not_run(workspace: Workspace, tmp_path: Path) -> None:
    assert own_models.declare(write(tmp_path / "my model-2.py", BOTH), NOTHING, workspace) == "my_model_2"
    found = own_models.find(workspace, "my_model_2")
    assert found is not None
    assert (found.kind, found.origins) == ("python", ("keras", "pytorch"))
    assert own_models.names(workspace) == ["my_model_2"]


def test_what_is_served_as_given_is_known_by_its_file(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "export" / "7" / "saved_model.pb")
    paths = {
        "onnx": write(tmp_path / "a.onnx"),
        "tflite": write(tmp_path / "b.tflite"),
        "torchscript": torch_zip(tmp_path / "c.pt", "c/data.pkl", "c/code/__torch__.py"),
        "savedmodel": str(tmp_path / "export" / "7"),
    }
    for kind, path in paths.items():
        name = own_models.declare(path, NOTHING, workspace)
        found = own_models.find(workspace, name)
        assert found is not None
        assert (found.kind, found.origins) == (kind, ("given",))
    assert "export" in own_models.names(workspace), "a version folder is called after the one above it"


@pytest.mark.parametrize("content", ["zip", "stream"])
def test_a_pickle_is_refused_unless_it_is_allowed_by_name(workspace: Workspace, tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.pt"
    if content == "zip":
        torch_zip(path, "m/data.pkl")
    else:
        path.write_bytes(pickle.dumps({"not": "loaded"}))
    with pytest.raises(InputError, match="is a pickle, and loading a pickle runs whatever code is in it") as refused:
        own_models.declare(str(path), NOTHING, workspace)
    assert "--allow-pickle" in refused.value.hint
    own_models.declare(str(path), Description(allow_pickle=True), workspace)
    found = own_models.find(workspace, "m")
    assert found is not None
    assert found.kind == "pickle"


@pytest.mark.parametrize(
    ("path", "content", "message", "hint"),
    [
        ("nets/modle.onnx", None, "there is no {path}", "did you mean 'model.onnx'?"),
        ("elsewhere/x.onnx", None, "there is no {path}", "look at the path"),
        ("notes.txt", "", "is a file of an unknown kind", "files that end in .h5, .hdf5, .keras, .onnx"),
        ("m.py", "def build_pytorch(:", "is not valid Python", ""),
        ("m.py", "import keras\nx = 1\n", "has neither build_pytorch() nor build_keras()", "it returns the model"),
        ("m.pt", "text", "is neither TorchScript nor a PyTorch checkpoint", "how it was saved"),
        ("base/3/saved_model.pb", "", "is a part of a SavedModel", "name its directory: --model"),
        ("digits_cnn.onnx", "", "digits_cnn is a model of serveoff's own", "--model another_name="),
    ],
)
def test_what_is_no_model_is_said_in_one_sentence(
    workspace: Workspace, tmp_path: Path, path: str, content: str | None, message: str, hint: str
) -> None:
    write(tmp_path / "nets" / "model.onnx")
    if content is not None:
        write(tmp_path / path, content)
    with pytest.raises(ServeoffError) as error:
        own_models.declare(str(tmp_path / path), NOTHING, workspace)
    assert message.format(path=tmp_path / path) in error.value.message
    assert hint in error.value.hint
    assert own_models.names(workspace) == []


def test_a_directory_of_versions_says_what_to_name_instead(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "base" / "3" / "saved_model.pb")
    with pytest.raises(InputError, match="directory of an unknown kind") as error:
        own_models.declare(str(tmp_path / "base"), NOTHING, workspace)
    assert f"--model {tmp_path / 'base' / '3'}" in error.value.hint


def test_a_model_directory_is_known_by_its_files(workspace: Workspace, tmp_path: Path) -> None:
    config = write(tmp_path / "my-bert" / "config.json", "{}")
    with pytest.raises(InputError, match=r"has a config.json, and no model.safetensors beside it"):
        own_models.declare(str(Path(config).parent), NOTHING, workspace)
    write(tmp_path / "my-bert" / "pytorch_model.bin", "no pickle is opened here")
    with pytest.raises(InputError, match=r"pytorch_model.bin is a pickle, and loading a pickle runs whatever code is in it") as refused:
        own_models.declare(str(Path(config).parent), NOTHING, workspace)
    assert "save the model again, as model.safetensors" in refused.value.hint
    write(tmp_path / "my-bert" / "model.safetensors")
    own_models.declare(str(Path(config).parent), NOTHING, workspace)
    found = own_models.find(workspace, "my_bert")
    assert found is not None
    assert (found.kind, found.origins) == ("transformers", ("pytorch",))


def test_one_name_is_one_path(workspace: Workspace, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a" / "model.onnx"), write(tmp_path / "b" / "model.onnx")
    assert own_models.declare(first, NOTHING, workspace) == "model"
    with pytest.raises(UsageError, match=f"model is {first} in this workspace") as taken:
        own_models.declare(second, NOTHING, workspace)
    assert "--model another_name=" in taken.value.hint
    assert own_models.declare(f"mine={second}", NOTHING, workspace) == "mine"
    assert own_models.name_of(f"mine={second}", workspace) == "mine"
    assert own_models.name_of(first, workspace) == "model"
    with pytest.raises(InputError, match="has not been exported yet"):
        own_models.name_of(second, workspace)


def test_what_was_said_is_remembered_until_something_else_is_said(workspace: Workspace, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", "one")
    finished = workspace.checkpoint("m") / own_models.FINISHED
    own_models.declare(path, Description(inputs=(own_models.tensor("x:int64:None,16"),)), workspace)
    write(finished)
    own_models.declare("m", NOTHING, workspace)
    found = own_models.find(workspace, "m")
    assert found is not None
    assert found.inputs == (TensorSpec(name="x", dtype="int64", shape=(None, 16)),)
    assert finished.exists(), "nothing changed: what was taken in stands"
    write(tmp_path / "m.onnx", "two")
    own_models.declare("m", NOTHING, workspace)
    assert not finished.exists(), "the file changed: it is taken in anew"


def test_what_a_model_file_imports_counts_as_the_file_does(workspace: Workspace, tmp_path: Path) -> None:
    path, part = write(tmp_path / "m.py", BOTH), tmp_path / "part.py"
    write(part, "one")
    own_models.declare(path, NOTHING, workspace)
    folder = workspace.checkpoint("m")
    taken = own_models.Taken(
        inputs=(),
        outputs=(),
        fixed_batch=None,
        signature="",
        weights_sha256="",
        notes=(),
        beside={"part.py": own_models.digest(part)},
    )
    storage.write(folder / own_models.taken_file("keras"), taken)
    write(folder / own_models.FINISHED)
    own_models.declare("m", NOTHING, workspace)
    assert (folder / own_models.FINISHED).exists(), "nothing changed"
    write(part, "two")
    own_models.declare("m", NOTHING, workspace)
    assert not (folder / own_models.FINISHED).exists(), "taken in anew"


@pytest.mark.parametrize("text", ["x", "x:float32", ":float32:None", "x:float31:None,2", "x:float32:None,two", "x:float32:None,2.5"])
def test_a_tensor_that_is_not_described_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="does not describe a tensor") as error:
        own_models.tensor(text)
    assert "--input image:float32:None,8,8,1" in error.value.hint


def test_a_tensor_is_described_from_its_end() -> None:
    assert own_models.tensor("serving_default_x:0:uint8:none,-1,3") == TensorSpec(
        name="serving_default_x:0", dtype="uint8", shape=(None, None, 3)
    )
