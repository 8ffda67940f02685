"""`child_official_client.py FOLDER`: Triton's own client and schema read what ours wrote into FOLDER. Runs in MLServer's environment.

`config-*.pbtxt` are read by the schema of Triton's model configuration, and written to `configurations.json`.
`oip_*` are requests for the model `every`;
each is what Triton's client makes of `inputs.npz`. `reply-oip_*` are what a server of Triton's protocol would answer, made by its messages.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

folder = Path(sys.argv[1])
with np.load(folder / "inputs.npz") as file:
    inputs = {name: file[name].astype(object) if file[name].dtype.kind == "S" else file[name] for name in file.files}

configurations = {}
for path in sorted(folder.glob("config-*.pbtxt")):
    message = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    configurations[path.stem] = json_format.MessageToDict(message, preserving_proto_field_name=True)


def raw(value: np.ndarray) -> bytes:
    return serialize_byte_tensor(value).item() if value.dtype == object else value.tobytes()


def fill(tensor: Any, value: np.ndarray) -> Any:
    tensor.set_data_from_numpy(value)
    return tensor


theirs = [fill(triton_http.InferInput(n, list(v.shape), np_to_triton_dtype(v.dtype)), v) for n, v in inputs.items()]
body, length = triton_http.InferenceServerClient.generate_request_body(theirs)
ours = (folder / "oip_binary_rest").read_bytes()
our_length = int((folder / "oip_binary_rest.length").read_text())
assert json.loads(ours[:our_length]) == json.loads(body[:length]), (ours[:our_length], body[:length])
assert ours[our_length:] == body[length:]

request = service_pb2.ModelInferRequest.FromString((folder / "oip_grpc").read_bytes())
assert request.model_name == "every"
assert [t.name for t in request.inputs] == list(inputs)
for tensor, value, content in zip(request.inputs, inputs.values(), request.raw_input_contents, strict=True):
    made = fill(triton_grpc.InferInput(tensor.name, list(value.shape), np_to_triton_dtype(value.dtype)), value)
    assert tensor == made._get_tensor(), tensor
    assert content == made._get_content()

reply = service_pb2.ModelInferResponse(model_name="every", model_version="1", id="7")
head: dict[str, Any] = {"model_name": "every", "model_version": "1", "outputs": []}
rest = b""
for name, value in inputs.items():
    content = raw(value)
    reply.outputs.add(name=name, datatype=np_to_triton_dtype(value.dtype), shape=value.shape).parameters["p"].bool_param = True
    reply.raw_output_contents.append(content)
    told = {"name": name, "datatype": np_to_triton_dtype(value.dtype), "shape": list(value.shape)}
    head["outputs"].append({**told, "parameters": {"binary_data_size": len(content)}})
    rest += content
(folder / "reply-oip_grpc").write_bytes(reply.SerializeToString())
(folder / "reply-oip_binary_rest").write_bytes(json.dumps(head).encode() + rest)
(folder / "configurations.json").write_text(json.dumps(configurations))
