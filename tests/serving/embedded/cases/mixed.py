# ruff: noqa: E501
"""Inputs of several types in one call, and the texts of TF Serving's own tests. `mixed` returns what it gets; `s_bytes` is the text again."""

M, H, EXAMPLES = "mixed:predict", "half:predict", "examples:regress"

ONE = '{"i": [[1, 2], [3, 4]], "s": ["foo", "bar"], "f": [1.0, NaN], "d": [NaN], "b": true}'
TWO = '{"i": [[7, 8], [9, 0]], "s": ["baz", "bat"], "f": [2.0, Infinity], "d": [2.0], "b": false}'


def rows(*texts: str) -> bytes:
    return f'{{"instances": [{", ".join(texts)}]}}'.encode()


def shown(*fields: str) -> str:
    b, d, f, i, s, raw = fields
    inner = " " * 16
    raw = ", ".join(f'{{\n{inner}    "b64": "{each}"\n{inner}}}' for each in raw.split())
    pairs = [f'"b": {b}', f'"d": [{d}]', f'"f": [{f}]', f'"i": [{i}]', f'"s": [{s}]', f'"s_bytes": [{raw}]']
    return "{\n" + ",\n".join(" " * 12 + pair for pair in pairs) + "\n        }"


def refused(name: str, url: str, body: object, contains: str, status: int = 400) -> dict[str, object]:
    return {"name": name, "url": url, "body": body, "status": status, "contains": contains}


def example(text: str) -> bytes:
    return f'{{"examples": [{{"names": {text}}}]}}'.encode()


CASES = [
    {
        "name": "five types in named rows",
        "url": M,
        "body": rows(ONE, TWO),
        "reply": (
            '{\n    "predictions": [\n        '
            + shown("true", "NaN", "1.0, NaN", "[1, 2], [3, 4]", '"foo", "bar"', "Zm9v YmFy")
            + ",\n        "
            + shown("false", "2.0", "2.0, Infinity", "[7, 8], [9, 0]", '"baz", "bat"', "YmF6 YmF0")
            + "\n    ]\n}"
        ).encode(),
    },
    {
        "name": "five types in columns, each of a shape of its own",
        "url": M,
        "body": {"inputs": {"i": [[[1, 2], [3, 4], [5, 6]]], "s": {"b64": "aGVsbG8="}, "f": 5.003, "d": [], "b": [[True], [False]]}},
        "json": {
            "outputs": {
                "i": [[[1, 2], [3, 4], [5, 6]]],
                "s": "hello",
                "s_bytes": {"b64": "aGVsbG8="},
                "f": 5.003,
                "d": [],
                "b": [[True], [False]],
            }
        },
    },
    refused("a list among objects", M, rows(ONE, "[1, 20, 30]", TWO), "Expecting object but got list at item 1 of input list"),
    refused(
        "another shape in the second row",
        M,
        rows(ONE, TWO.replace("[[7, 8], [9, 0]]", "[[[7, 8], [9, 0]]]")),
        "Error: INVALID_ARGUMENT: Expecting shape [2,2] but got: [1,2,2]",
    ),
    refused(
        "another size in the second row", M, rows(ONE, TWO.replace("[[7, 8], [9, 0]]", "[[7, 8]]")), "Expecting tensor size: 4 but got: 2"
    ),
    refused(
        "a type of another input",
        M,
        rows(ONE.replace("[1.0, NaN]", '["1.0"]')),
        "key: f of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"1.0\" Type: String is not of expected type: float",
    ),
    refused(
        "NaN for an integer",
        M,
        rows(ONE.replace("[[1, 2], [3, 4]]", "[NaN]")),
        "JSON Value: NaN Type: Number is not of expected type: int32",
    ),
    refused("a base64 object among plain rows", M, rows('{"b64": "aGk="}'), "is not of expected type: bool"),
    refused("a named row's key is missing", M, rows('{"i": 1}'), "keys must be equal to: b,d,f,i,s"),
    refused("a column is missing", M, {"inputs": {"i": [1], "s": ["a"], "f": [1], "d": [1]}}, "Missing named input: b in 'inputs' object."),
    refused(
        "a column is null",
        M,
        {"inputs": {"i": [1], "s": None, "f": [1], "d": [1], "b": True}},
        "JSON Value: null Type: Null is not of expected type: string",
    ),
    # single inputs, in the words of TF Serving's tests
    {
        "name": "integers and decimals mixed",
        "url": H,
        "body": {"instances": [1, 2.0, 3, 4, 5.5, 0, 0.0]},
        "json": {"predictions": [2.5, 3.0, 3.5, 4.0, 4.75, 2.0, 2.0]},
    },
    {
        "name": "a list of rank 2",
        "url": H,
        "body": {"instances": [[1.0, 2.0], [3.0, 4.0]]},
        "json": {"predictions": [[2.5, 3.0], [3.5, 4.0]]},
    },
    refused(
        "a longer last row",
        H,
        b'{"instances": [[1,2],[3,4],[5,6,7]]}',
        "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 3",
    ),
    refused("a deeper last row", H, b'{"instances": [[1,2],[3,4],[[5,6]]]}', "Expecting shape [2] but got: [1,2]"),
    refused(
        "texts in the last row", H, b'{"instances": [[1,2],["a", "b"]]}', 'JSON Value: "a" Type: String is not of expected type: float'
    ),
    refused("no JSON", H, b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
    refused(
        "signature_name a number, and bad rows",
        H,
        b'{"signature_name": 5, "instances": [[1,2],[3]]}',
        "'signature_name' key must be a string value.",
    ),
    refused(
        "both keys, and bad rows",
        H,
        b'{"instances": [[1,2],[3]], "inputs": [[1,2],[3]]}',
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist",
    ),
    {
        "name": "the largest double in a float",
        "url": H,
        "body": b'{"instances": [1.7976931348623157e308]}',
        "reply": b'{\n    "predictions": [Infinity\n    ]\n}',
    },
    {"name": "an integer that a float cannot hold", "url": H, "body": b'{"instances": [16777217]}', "json": {"predictions": [8388610.0]}},
    {
        "name": "keys in any order",
        "url": "two:predict",
        "body": b'{"instances": [{"b": 2, "a": 1}, {"a": 3, "b": 4}], "signature_name": "serving_default"}',
        "json": {"predictions": [3.0, 7.0]},
    },
    {
        "name": "key names that only begin alike",
        "url": H,
        "body": {"instances": [1], "instances_": [2], "input": 3},
        "json": {"predictions": [2.5]},
    },
    refused("keys are not blind to case", H, {"Instances": [1]}, "Missing 'inputs' or 'instances' key"),
    refused("a JSON text of JSON", H, b'"{\\"instances\\": [1]}"', "Is not object"),
    refused("names are not blind to case", "texts:predict", {"inputs": {"S": ["a"]}}, "Missing named input: s in 'inputs' object."),
    {"name": "an astral text in a key is no matter", "url": H, "body": {"instances": [1], "\U0001f600": 1}, "json": {"predictions": [2.5]}},
    # examples
    refused(
        "a list for the signature's name",
        EXAMPLES,
        {"signature_name": ["hello"], "examples": [{}]},
        "'signature_name' key must be a string value.",
    ),
    refused(
        "a context that is a list comes before missing examples",
        EXAMPLES,
        {"context": [{"names": ["foo"]}]},
        "Example must be JSON object but got JSON Array",
    ),
    refused("null after an integer", EXAMPLES, example("[10, null]"), "Feature: names has element with unexpected JSON type: Null"),
    refused(
        "a decimal after an integer", EXAMPLES, example("[10, 10.0]"), "Unexpected element type in feature: names expecting type: int64"
    ),
    refused(
        "an object after an integer",
        EXAMPLES,
        example('[10, {"test": 10}]'),
        "Feature: names has element with unexpected JSON type: Object",
    ),
    refused("a list before an integer", EXAMPLES, example("[[10], 20]"), "Feature: names has element with unexpected JSON type: Array"),
    refused(
        "an unsigned integer",
        EXAMPLES,
        example("[20, 18446744073709551603]"),
        "Feature: names has uint64_t element. Only int64_t is supported.",
    ),
    {
        "name": "integers and truth mixed in a feature",
        "url": EXAMPLES,
        "body": {"examples": [{"x": [8, True, False]}]},
        "json": {"results": [6.0]},
    },
    {
        "name": "an infinite feature",
        "url": EXAMPLES,
        "body": b'{"examples": [{"x": -Infinity}]}',
        "reply": b'{\n    "results": [-Infinity]\n}',
    },
    {
        "name": "a large decimal becomes infinite",
        "url": EXAMPLES,
        "body": b'{"examples": [{"x": 1e300}]}',
        "reply": b'{\n    "results": [Infinity]\n}',
    },
    {
        "name": "a signature that takes no examples is quoted as text",
        "url": "half:regress",
        "body": {"examples": [{"x": 1.0}]},
        "status": 400,
        "contains": 'No regression inputs found in SignatureDef: inputs {\n  key: "x"\n  value {\n    name: "x"\n    dtype: DT_FLOAT\n',
    },
]
