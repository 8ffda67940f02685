# ruff: noqa: E501
"""How replies are laid out, and what cannot be replied."""

U = "outputs:predict"

CASES = [
    {"name": "row", "url": "half:predict", "body": {"instances": [1, 2]}, "reply": b'{\n    "predictions": [2.5, 3.0\n    ]\n}'},
    {
        "name": "row of lists",
        "url": "half:predict",
        "body": {"instances": [[1, 2], [3, 4]]},
        "reply": b'{\n    "predictions": [[2.5, 3.0], [3.5, 4.0]\n    ]\n}',
    },
    {
        "name": "columnar",
        "url": "half:predict",
        "body": {"inputs": [[1], [2]]},
        "reply": b'{\n    "outputs": [\n        [\n            2.5\n        ],\n        [\n            3.0\n        ]\n    ]\n}',
    },
    {
        "name": "several outputs, row",
        "url": U,
        "body": {"instances": [1.5, 2]},
        "reply": b'{\n    "predictions": [\n        {\n            "n": 0,\n            "y": 1.5\n        },\n        {\n            "n": 1,\n            "y": 2.0\n        }\n    ]\n}',
    },
    {
        "name": "several outputs, columnar",
        "url": U,
        "body": {"inputs": [1.5]},
        "reply": b'{\n    "outputs": {\n        "n": [\n            0\n        ],\n        "y": [\n            1.5\n        ]\n    }\n}',
    },
    {
        "name": "rank 3, row",
        "url": U,
        "body": {"signature_name": "grid", "instances": [0]},
        "reply": b'{\n    "predictions": [[[0, 1], [2, 3]]\n    ]\n}',
    },
    {
        "name": "empty dimension, row",
        "url": U,
        "body": {"signature_name": "hollow", "instances": [0, 0]},
        "reply": b'{\n    "predictions": [[], []\n    ]\n}',
    },
    {
        "name": "empty dimension, columnar",
        "url": U,
        "body": {"signature_name": "hollow", "inputs": [0]},
        "reply": b'{\n    "outputs": [\n        []\n    ]\n}',
    },
    {
        "name": "scalar output, columnar",
        "url": U,
        "body": {"signature_name": "scalar", "inputs": [1, 2]},
        "reply": b'{\n    "outputs": 3.0\n}',
    },
    {
        "name": "scalar output, row",
        "url": U,
        "body": {"signature_name": "scalar", "instances": [1]},
        "status": 400,
        "error": "Tensor name: y has no shape information ",
    },
    {
        "name": "uneven outputs, row",
        "url": U,
        "body": {"signature_name": "uneven", "instances": [1, 2]},
        "status": 400,
        "error": "Tensor name: z has inconsistent batch size: 1 expecting: 2",
    },
    {
        "name": "uneven outputs, columnar",
        "url": U,
        "body": {"signature_name": "uneven", "inputs": [1, 2]},
        "json": {"outputs": {"y": [1.0, 2.0], "z": [1.0]}},
    },
    {
        "name": "empty output, row",
        "url": U,
        "body": {"signature_name": "empty", "instances": [1]},
        "status": 400,
        "error": "Tensor name: y has invalid batch size: 0",
    },
    {"name": "empty output, columnar", "url": U, "body": {"signature_name": "empty", "inputs": [1]}, "json": {"outputs": []}},
    {
        "name": "half, row",
        "url": U,
        "body": {"signature_name": "half", "instances": [1]},
        "status": 400,
        "error": "Failed to write JSON value for tensor type: half",
    },
    {
        "name": "half, columnar",
        "url": U,
        "body": {"signature_name": "half", "inputs": [1]},
        "status": 400,
        "error": "Failed to write JSON value for tensor type: half",
    },
    {"name": "the model refuses", "url": "errors:predict", "body": {"instances": [1]}, "status": 400, "error": "the shapes do not fit"},
    {
        "name": "the model fails",
        "url": "errors:predict",
        "body": {"signature_name": "crash", "instances": [1]},
        "status": 500,
        "error": "RuntimeError: disk on fire",
    },
]
