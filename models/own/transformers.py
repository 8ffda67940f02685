"""Text encoders from a Hugging Face model directory on disk: `config.json` and `model.safetensors`.

Nothing is looked up on a network, and no code that comes with a model is run.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when it is imported

import torch
import transformers

from serveoff.contract import TensorSpec
from serveoff.errors import InputError

from .samples import Ids

if TYPE_CHECKING:
    from serveoff.own_models import OwnModel

LENGTH = 128
"""Of a text in tokens, where nobody says another."""
HEADS = {
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
}
"""The end of an architecture's name -> what keeps its head. Of any other the encoder alone is taken, without what it was trained by."""
_POOLER = "pooler."
_IDS, _MASK, _SEGMENTS = "input_ids", "attention_mask", "token_type_ids"


class Encoder(torch.nn.Module):
    """Takes its tensors by position, as the formats pass them, and answers with a dictionary of tensors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        segments = {} if token_type_ids is None else {_SEGMENTS: token_type_ids}
        answer = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **segments)
        return {name: value for name, value in answer.items() if isinstance(value, torch.Tensor)}


def build(source: OwnModel) -> tuple[Encoder, tuple[TensorSpec, ...], dict[str, Ids]]:
    """The model in float32, what it takes, and its vocabulary. Raises InputError for what is no text encoder."""
    path = Path(source.path)
    config = _config(path)
    model = _model(path, config, pickled=source.allow_pickle)
    config.output_hidden_states = config.output_attentions = config.use_cache = False
    ids = {_IDS: Ids(config.vocab_size, config.pad_token_id or 0)}
    if getattr(config, "type_vocab_size", 0) > 1 and _SEGMENTS in inspect.signature(model.forward).parameters:
        ids[_SEGMENTS] = Ids(config.type_vocab_size)
    length = _length(source, config)
    inputs = tuple(TensorSpec(name=name, dtype="int64", shape=(None, length)) for name in (_IDS, _MASK, *list(ids)[1:]))
    return Encoder(model), inputs, ids


def _config(path: Path) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise _refused(path, error, "config.json is not one that transformers knows") from error


def _model(path: Path, config: Any, *, pickled: bool) -> Any:
    architecture = next(iter(config.architectures or ()), "")
    if config.is_encoder_decoder or architecture.endswith(("ForCausalLM", "LMHeadModel")):
        raise InputError(
            f"{path} holds a {architecture or config.model_type}, which writes text; only text encoders are taken so",
            hint="name a .py file whose build_pytorch() makes the part that is to be served",
        )
    kind = getattr(transformers, next((auto for end, auto in HEADS.items() if architecture.endswith(end)), "AutoModel"))
    options = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": not pickled, "dtype": torch.float32}
    try:
        model, found = kind.from_pretrained(path, config=config, output_loading_info=True, **options)
    except Exception as error:
        raise _refused(path, error, "its weights cannot be loaded") from error
    if model.main_input_name != _IDS:
        raise InputError(
            f"{path} holds a {type(model).__name__}, which takes {model.main_input_name}; only text encoders are taken so",
            hint="name a .py file whose build_pytorch() makes it",
        )
    missing = sorted(found["missing_keys"])
    if missing and all(name.startswith(_POOLER) for name in missing):
        model.pooler = None  # drawn, not trained: a checkpoint of another task has none
    elif missing:
        raise InputError(f"the weights of {path} lack {', '.join(missing[:3])}{' ...' if missing[3:] else ''}", hint="save the model again")
    return model


def _length(source: OwnModel, config: Any) -> int | None:
    """Of a text in tokens: what was said of any input, open where there are samples, else LENGTH or the most that the model takes."""
    said = [t.shape[1] for t in source.inputs if len(t.shape) == 2 and t.shape[1]]
    if said or source.samples:
        return said[0] if said else None
    pad = config.pad_token_id or 0
    most = (getattr(config, "max_position_embeddings", 0) or LENGTH) - (pad + 1 if pad else 0)  # some count positions from behind the pad
    return max(1, min(LENGTH, int(most)))


def _refused(path: Path, error: Exception, what: str) -> InputError:
    said = (str(error).strip().splitlines() or [repr(error)])[0]
    if "trust_remote_code" in str(error):
        return InputError(
            f"{path} comes with Python code of its own, and that is not run", hint="name a .py file whose build_pytorch() makes the model"
        )
    return InputError(f"{path}: {what}: {type(error).__name__}: {said}", hint="save it with save_pretrained()")
