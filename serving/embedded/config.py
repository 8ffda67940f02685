"""Which models to serve: from a ModelServerConfig, checked as TF Serving checks it (server_core.cc)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serveoff.wire import tfs_pb2 as pb

from .status import failed_precondition, invalid
from .versions import ModelConfig

_PLATFORM = "tensorflow"
_NO_TRANSITION = "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."


def from_proto(proto: pb.ModelServerConfig) -> list[ModelConfig]:
    """The models of a config; none when it is empty. Raises ServingError."""
    choice = proto.WhichOneof("config")
    if choice is None:
        return []
    if choice != "model_config_list":
        raise failed_precondition(_NO_TRANSITION)
    seen: set[str] = set()
    configs = []
    for row in proto.model_config_list.config:
        if row.name in seen:
            raise invalid(f"Illegal to list model {row.name} multiple times in config list")
        seen.add(row.name)
        _check_platform(row)
        if not Path(row.base_path).is_absolute():
            raise invalid(f"Expected model {row.name} to have an absolute path or URI; got base_path()={row.base_path}")
        configs.append(ModelConfig.from_proto(row))
    return configs


def _check_platform(row: Any) -> None:
    platform = row.model_platform
    if row.model_type:
        if platform:
            raise invalid("Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform.")
        if row.model_type != pb.TENSORFLOW:
            raise invalid(f"ModelServerConfig::model_type choice {row.model_type} not supported.")
        platform = _PLATFORM
    if not platform:
        raise invalid("Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.")
    if platform != _PLATFORM:
        raise invalid(f"Model {row.name} requests unsupported platform {platform}")


def check_labels(
    configs: Sequence[ModelConfig],
    current: Mapping[str, Mapping[str, int]],
    available: Mapping[str, set[int]],
    *,
    allow_unavailable: bool,
) -> None:
    """Labels must point at loaded versions. With `allow_unavailable` a new label may point anywhere; moving one still needs its target.

    Raises ServingError (FAILED_PRECONDITION).
    """
    for config in configs:
        known = current.get(config.name, {})
        for label, version in config.labels:
            if version in available.get(config.name, set()):
                continue
            if allow_unavailable and known.get(label, version) == version:
                continue
            raise failed_precondition(
                f"Request to assign label to version {version} of model {config.name}, which is not currently available for inference"
            )
