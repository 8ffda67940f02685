"""Hugging Face model directories, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from serveoff.contract import Origin
from serveoff.own_models import Description, tensor

Case = tuple[Path, Origin, Description]
SMALL = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
WEIGHTS, CONFIG = "model.safetensors", "config.json"
NOTHING = Description()


def make(root: Path) -> dict[str, Case]:
    torch.manual_seed(0)
    cases: dict[str, Case] = {}

    def saved(name: str, kind: str, said: Description = NOTHING, **config: Any) -> Path:
        model = getattr(transformers, kind)
        model(model.config_class(**{**SMALL, **config})).save_pretrained(root / name / "m")
        cases[name] = (root / name / "m", "pytorch", said)
        return root / name / "m"

    bert: dict[str, Any] = {"max_position_embeddings": 64}
    saved("encoder", "BertModel", **bert)
    saved("no_pooler", "BertForMaskedLM", **bert)
    saved("classifier", "BertForSequenceClassification", **bert, num_labels=3)
    saved("roberta", "RobertaForMaskedLM", **bert, type_vocab_size=1)
    saved("said", "BertModel", Description(inputs=(tensor("input_ids:int64:None,9"),)), **bert)
    saved("too_long", "BertModel", Description(inputs=(tensor("input_ids:int64:None,65"),)), **bert)
    texts: dict[str, Any] = {name: np.ones((70, 5), np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    np.savez(root / "s.npz", **texts)
    saved("sampled", "BertModel", Description(samples=str(root / "s.npz")), **bert)
    half = saved("half", "BertModel", **bert) / WEIGHTS
    save_file({name: value.half() for name, value in load_file(half).items()}, half, {"format": "pt"})
    pickled = saved("pickled", "BertModel", Description(allow_pickle=True), **bert)
    torch.save(load_file(pickled / WEIGHTS), pickled / "pytorch_model.bin")
    (pickled / WEIGHTS).unlink()
    _bad(saved, bert)
    return cases


def _bad(saved: Any, bert: dict[str, Any]) -> None:
    (saved("damaged", "BertModel", **bert) / WEIGHTS).write_bytes(b"no weights")
    lacking = saved("lacks_a_layer", "BertModel", **bert) / WEIGHTS
    save_file({n: v for n, v in load_file(lacking).items() if not n.endswith("query.weight")}, lacking, {"format": "pt"})
    saved("writes_text", "GPT2LMHeadModel", n_embd=8, n_layer=1, n_head=2)
    saved("sees", "ViTModel", image_size=8, patch_size=4)
    for name, change in {
        "own_code": {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}},
        "unknown_type": {"model_type": "mine"},
    }.items():
        path = saved(name, "BertModel", **bert)
        (path / "mine.py").write_text("raise SystemExit('this code ran')\n")
        (path / CONFIG).write_text(json.dumps(json.loads((path / CONFIG).read_text()) | change))
