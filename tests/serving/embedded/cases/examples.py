"""Classify and regress. The model: outputs = x / 2 + 2 + bias; classes `half` (x / 2 + 2) and `same` (x)."""

R, C = "examples:regress", "examples:classify"


def case(name: str, url: str, body: object, **expected: object) -> dict[str, object]:
    return {"name": name, "url": url, "body": body, **expected}


CASES = [
    case("regress", R, {"examples": [{"x": 80.0}, {"x": 2.0}]}, reply=b'{\n    "results": [42.0, 3.0]\n}'),
    case("features in lists", R, {"examples": [{"x": [80.0]}]}, json={"results": [42.0]}),
    case("a missing feature", R, {"examples": [{}]}, json={"results": [2.0]}),
    case("an integer feature", R, {"examples": [{"x": 80}]}, json={"results": [42.0]}),
    case("a bool feature", R, {"examples": [{"x": True}]}, json={"results": [2.5]}),
    case(
        "text features",
        R,
        {"examples": [{"x": 4.0, "t": "hi", "b": {"b64": "aGk="}, "l": ["a", {"b64": "YQ=="}]}]},
        json={"results": [4.0]},
    ),
    case("tokens", R, b'{"examples": [{"x": [NaN]}]}', reply=b'{\n    "results": [NaN]\n}'),
    case("context", R, {"context": {"bias": 1.0}, "examples": [{"x": 2.0}, {"x": 4.0}]}, json={"results": [4.0, 5.0]}),
    case("an example wins over its context", R, {"context": {"x": 8.0}, "examples": [{"x": 2.0}, {}]}, json={"results": [3.0, 6.0]}),
    case("twice the same feature", R, b'{"examples": [{"x": 8.0, "x": 2.0}]}', json={"results": [3.0]}),
    case("signature_name", R, {"signature_name": "serving_default", "examples": [{"x": 2.0}]}, json={"results": [3.0]}),
    case(
        "classify",
        C,
        {"signature_name": "classify", "examples": [{"x": 2.0}, {"x": 4.0}]},
        reply=b'{\n    "results": [[["half", 3.0], ["same", 2.0]], [["half", 4.0], ["same", 4.0]]\n    ]\n}',
    ),
    case("classify without classes", C, {"signature_name": "scores", "examples": [{"x": 2.0}]}, json={"results": [[["", 3.0], ["", 2.0]]]}),
    case(
        "classify without scores",
        C,
        {"signature_name": "labels", "examples": [{"x": 2.0}]},
        json={"results": [[["half", 0.0], ["same", 0.0]]]},
    ),
    case("no examples", R, {}, status=400, error="JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
    case(
        "no examples, classify",
        C,
        {"instances": [1]},
        status=400,
        contains="When method is classify, key 'examples' is expected and was not found",
    ),
    case("examples not a list", R, {"examples": {"x": 1.0}}, status=400, contains="Expecting 'examples' value to be an list/array"),
    case(
        "empty examples",
        R,
        b'{"examples": []}',
        status=400,
        error="JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
    ),
    case("example not an object", R, {"examples": [1.0]}, status=400, error="Example must be JSON object but got JSON Number"),
    case("example a list", R, {"examples": [[1.0]]}, status=400, error="Example must be JSON object but got JSON Array"),
    case(
        "context not an object", R, {"context": "x", "examples": [{}]}, status=400, error="Example must be JSON object but got JSON String"
    ),
    case("null feature", R, {"examples": [{"x": None}]}, status=400, error="Feature: x has element with unexpected JSON type: Null"),
    case("nested list", R, {"examples": [{"x": [[1.0]]}]}, status=400, error="Feature: x has element with unexpected JSON type: Array"),
    case(
        "object feature", R, {"examples": [{"x": {"y": 1}}]}, status=400, error="Feature: x has element with unexpected JSON type: Object"
    ),
    case(
        "mixed kinds", R, {"examples": [{"x": [1.0, "a"]}]}, status=400, error="Unexpected element type in feature: x expecting type: float"
    ),
    case(
        "integer after float",
        R,
        {"examples": [{"x": [1.0, 2]}]},
        status=400,
        error="Unexpected element type in feature: x expecting type: float",
    ),
    case(
        "float after integer",
        R,
        {"examples": [{"x": [2, 1.0]}]},
        status=400,
        error="Unexpected element type in feature: x expecting type: int64",
    ),
    case(
        "bool after text",
        R,
        {"examples": [{"x": ["a", True]}]},
        status=400,
        error="Unexpected element type in feature: x expecting type: bytes",
    ),
    case(
        "too large an integer",
        R,
        {"examples": [{"x": 9223372036854775808}]},
        status=400,
        error="Feature: x has uint64_t element. Only int64_t is supported.",
    ),
    case("bad base64", R, {"examples": [{"x": {"b64": "*"}}]}, status=400, error="Unable to base64 decode"),
    case("bad document", R, b"{", status=400, error="JSON Parse error: Missing a name for object member. at offset: 1"),
    case(
        "signature_name a number",
        C,
        {"signature_name": 1, "examples": [{}]},
        status=400,
        contains="'signature_name' key must be a string value.",
    ),
    case(
        "unknown signature",
        R,
        {"signature_name": "nope", "examples": [{"x": 1.0}]},
        status=400,
        error="No signature was found with the name: nope",
    ),
    case("unknown model", "ghost:regress", {"examples": [{"x": 1.0}]}, status=404, error="Servable not found for request: Latest(ghost)"),
    case("bad document, unknown model", "ghost:regress", {"examples": []}, status=400, contains="'examples' value is an empty array"),
    case(
        "classify on a regression", C, {"examples": [{"x": 1.0}]}, status=400, contains='to contain at least one of "classes" or "scores"'
    ),
    case(
        "regress on a classification",
        R,
        {"signature_name": "classify", "examples": [{"x": 1.0}]},
        status=400,
        error="Expected one output Tensor.",
    ),
    case(
        "scores for outputs",
        R,
        {"signature_name": "scores", "examples": [{"x": 1.0}]},
        status=400,
        contains="No regression outputs found in SignatureDef",
    ),
    case(
        "outputs of rank 2",
        R,
        {"signature_name": "wide", "examples": [{"x": 1.0}]},
        status=400,
        error="Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,2]",
    ),
    case(
        "input of another name",
        R,
        {"signature_name": "odd_name", "examples": [{"x": 1.0}]},
        status=400,
        contains="No regression inputs found in SignatureDef",
    ),
]
