"""Strings and base64."""

U = "texts:predict"
BASE64 = "Unable to base64 decode"


def row(text: str) -> bytes:
    return f'{{"instances": [{text}]}}'.encode()


def failed(inner: str) -> str:
    return f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: {inner}"


CASES = [
    {"name": "text", "url": U, "body": {"instances": ["hello", "wörld"]}, "json": {"predictions": ["hello", "wörld"]}},
    {"name": "empty text", "url": U, "body": {"instances": [""]}, "json": {"predictions": [""]}},
    {"name": "lists of text", "url": U, "body": {"instances": [["a", "b"], ["c", "d"]]}, "json": {"predictions": [["a", "b"], ["c", "d"]]}},
    {"name": "scalar text", "url": U, "body": {"inputs": "one"}, "json": {"outputs": "one"}},
    {
        "name": "escapes come back",
        "url": U,
        "body": b'{"instances": ["\\u0000\\u0001\\u001f\\n\\t\\r\\b\\f\\"\\\\/\\u007f"]}',
        "reply": b'{\n    "predictions": ["\\u0000\\u0001\\u001F\\n\\t\\r\\b\\f\\"\\\\/\x7f"\n    ]\n}',
    },
    {
        "name": "astral text",
        "url": U,
        "body": b'{"instances": ["\\ud83d\\ude00"]}',
        "reply": '{\n    "predictions": ["😀"\n    ]\n}'.encode(),
    },
    {"name": "bytes that are not UTF-8", "url": U, "body": b'{"instances": ["\xff"]}', "reply": b'{\n    "predictions": ["\xff"\n    ]\n}'},
    {
        "name": "base64",
        "url": U,
        "body": {"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]},
        "json": {"predictions": ["hello", "world"]},
    },
    {"name": "base64 in lists", "url": U, "body": {"instances": [[{"b64": "aGk="}], ["x"]]}, "json": {"predictions": [["hi"], ["x"]]}},
    {"name": "base64 alone", "url": U, "body": {"inputs": {"b64": "aGk="}}, "json": {"outputs": "hi"}},
    {"name": "base64 by name", "url": U, "body": {"inputs": {"s": {"b64": "aGk="}}}, "json": {"outputs": "hi"}},
    {"name": "base64 in a named row", "url": U, "body": {"instances": [{"s": {"b64": "aGk="}}]}, "json": {"predictions": ["hi"]}},
    {
        "name": "without padding",
        "url": U,
        "body": {"instances": [{"b64": "aGk"}, {"b64": "aGVsbG8"}]},
        "json": {"predictions": ["hi", "hello"]},
    },
    {"name": "no bytes", "url": U, "body": {"instances": [{"b64": ""}]}, "json": {"predictions": [""]}},
    {"name": "white space inside", "url": U, "body": {"instances": [{"b64": "aG\nk="}]}, "json": {"predictions": ["hi"]}},
    {
        "name": "a name that ends in _bytes",
        "url": U,
        "body": {"signature_name": "bytes", "inputs": ["hi"]},
        "reply": b'{\n    "outputs": [\n        {\n            "b64": "aGk="\n        }\n    ]\n}',
    },
    {
        "name": "_bytes in a row",
        "url": U,
        "body": {"signature_name": "bytes", "instances": ["hi"]},
        "reply": b'{\n    "predictions": [{\n            "b64": "aGk="\n        }\n    ]\n}',
    },
    {
        "name": "both kinds",
        "url": U,
        "body": {"signature_name": "both", "instances": ["hi"]},
        "json": {"predictions": [{"s": "hi", "s_bytes": {"b64": "aGk="}}]},
    },
    {
        "name": "all 256 bytes",
        "url": U,
        "body": {"signature_name": "bytes", "instances": [{"b64": "AAECAwT/"}]},
        "json": {"predictions": [{"b64": "AAECAwT/"}]},
    },
    {"name": "wrong alphabet", "url": U, "body": row('{"b64": "a-_="}'), "status": 400, "error": failed(BASE64)},
    {"name": "wrong characters", "url": U, "body": row('{"b64": "a*b="}'), "status": 400, "error": failed(BASE64)},
    {"name": "one character", "url": U, "body": row('{"b64": "a"}'), "status": 400, "error": failed(BASE64)},
    {"name": "too much padding", "url": U, "body": row('{"b64": "aGVsbG8=="}'), "status": 400, "error": failed(BASE64)},
    {"name": "padding in the middle", "url": U, "body": row('{"b64": "aG=k"}'), "status": 400, "error": failed(BASE64)},
    {"name": "wrong, columnar", "url": U, "body": {"inputs": {"b64": "****"}}, "status": 400, "error": BASE64},
    {
        "name": "two keys are a named row",
        "url": U,
        "body": row('{"b64": "aGk=", "x": 1}'),
        "status": 400,
        "contains": "does not have named input: b64",
    },
    {
        "name": "b64 of a number is a named row",
        "url": U,
        "body": row('{"b64": 5}'),
        "status": 400,
        "contains": "does not have named input: b64",
    },
    {
        "name": "an object among texts",
        "url": U,
        "body": b'{"inputs": ["a", {"b64": 5}]}',
        "status": 400,
        "error": 'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data',
    },
    {
        "name": "an unknown object",
        "url": U,
        "body": b'{"inputs": ["a", {"c64": "x"}]}',
        "status": 400,
        "error": 'JSON Value: {\n    "c64": "x"\n} not formatted correctly for base64 data',
    },
    {
        "name": "numbers from text",
        "url": U,
        "body": {"signature_name": "length", "instances": ["", "four", {"b64": "aGk="}]},
        "json": {"predictions": [0, 4, 2]},
    },
]
