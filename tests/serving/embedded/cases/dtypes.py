# ruff: noqa: E501
"""Which JSON values each dtype takes."""

U = "types:predict"


def good(name: str, dtype: str, text: str, reply: str) -> dict[str, object]:
    body = f'{{"signature_name": "{dtype}", "instances": [{text}]}}'.encode()
    return {"name": f"{dtype}: {name}", "url": U, "body": body, "reply": f'{{\n    "predictions": [{reply}\n    ]\n}}'.encode()}


def bad(name: str, dtype: str, text: str, shown: str, kind: str) -> dict[str, object]:
    printed = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    body = f'{{"signature_name": "{dtype}", "instances": [{text}]}}'.encode()
    error = f"Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: {shown} Type: {kind} is not of expected type: {printed}"
    return {"name": f"{dtype}: {name}", "url": U, "body": body, "status": 400, "error": error}


CASES = [
    good("whole numbers get a point", "float32", "1, -2, 0", "1.0, -2.0, 0.0"),
    good("six digits where they do", "float32", "0.1, 1.5, 123456", "0.1, 1.5, 123456.0"),
    good("nine where they must", "float32", "0.12345678, 16777217", "0.123456784, 16777216.0"),
    good("large and small ones", "float32", "9000000, 0.00003, 1e10", "9e+06, 3e-05, 1e+10"),
    good("overflow to infinity", "float32", "1e39, -1e39", "Infinity, -Infinity"),
    good("underflow to zero", "float32", "1e-50", "0.0"),
    good("the largest", "float32", "3.4028234663852886e38", "3.40282347e+38"),
    good("a subnormal", "float32", "1e-45", "1.4013e-45"),
    good("negative zero", "float32", "-0.0, -0", "-0.0, 0.0"),
    good("a big integer", "float32", "18446744073709551615", "1.84467441e+19"),
    good("an integer beyond 64 bits", "float32", "18446744073709551616", "1.84467441e+19"),
    good("seventeen digits", "float64", "0.1, 0.30000000000000004, 1e22", "0.1, 0.30000000000000004, 1e+22"),
    good("half a digit more", "float64", "123456789.5, 1e300", "123456789.5, 1e+300"),
    good("tokens", "float64", "NaN, Infinity, -Infinity", "NaN, Infinity, -Infinity"),
    good("the smallest", "float64", "5e-324", "4.94066e-324"),
    good("exact", "int64", "9223372036854775807, -9223372036854775808", "9223372036854775807, -9223372036854775808"),
    good("exact", "uint64", "18446744073709551615, 0", "18446744073709551615, 0"),
    good("exact", "uint32", "4294967295, 0", "4294967295, 0"),
    good("limits", "int32", "2147483647, -2147483648", "2147483647, -2147483648"),
    good("wraps around", "uint8", "300, -1, 256", "44, 255, 0"),
    good("wraps around", "int8", "300, -129, 128", "44, 127, -128"),
    good("wraps around", "int16", "65537, 32768", "1, -32768"),
    good("values", "bool", "true, false", "true, false"),
    good("lists", "bool", "[true, false], [false, true]", "[true, false], [false, true]"),
    bad("true", "float32", "true", "true", "True"),
    bad("false", "float32", "false", "false", "False"),
    bad("null", "float32", "null", "null", "Null"),
    bad("text", "float32", '"1.0"', '"1.0"', "String"),
    bad("text NaN", "float32", '"NaN"', '"NaN"', "String"),
    bad("text", "float64", '"1.0"', '"1.0"', "String"),
    bad("true", "float64", "true", "true", "True"),
    bad("whole float", "int32", "1.0", "1.0", "Number"),
    bad("exponent", "int32", "1e3", "1000.0", "Number"),
    bad("too big", "int32", "2147483648", "2147483648", "Number"),
    bad("too small", "int32", "-2147483649", "-2147483649", "Number"),
    bad("true", "int32", "true", "true", "True"),
    bad("text", "int32", '"1"', '"1"', "String"),
    bad("beyond int32", "uint8", "4294967296", "4294967296", "Number"),
    bad("beyond int32", "int8", "2147483648", "2147483648", "Number"),
    bad("beyond int32", "int16", "-2147483649", "-2147483649", "Number"),
    bad("too big", "int64", "9223372036854775808", "9223372036854775808", "Number"),
    bad("whole float", "int64", "1.0", "1.0", "Number"),
    bad("true", "int64", "true", "true", "True"),
    bad("negative", "uint32", "-1", "-1", "Number"),
    bad("too big", "uint32", "4294967296", "4294967296", "Number"),
    bad("negative", "uint64", "-1", "-1", "Number"),
    bad("beyond 64 bits", "uint64", "18446744073709551616", "1.84467441e+19", "Number"),
    bad("one", "bool", "1", "1", "Number"),
    bad("zero", "bool", "0", "0", "Number"),
    bad("text", "bool", '"true"', '"true"', "String"),
    bad("null", "bool", "null", "null", "Null"),
    bad("a number", "string", "1", "1", "Number"),
    bad("true", "string", "true", "true", "True"),
    bad("null", "string", "null", "null", "Null"),
    # one wrong value among many right ones
    {
        "name": "true among floats",
        "url": U,
        "body": b'{"signature_name": "float32", "inputs": [1.0, 2.0, true]}',
        "status": 400,
        "error": "JSON Value: true Type: True is not of expected type: float",
    },
    {
        "name": "one among bools",
        "url": U,
        "body": b'{"signature_name": "bool", "inputs": [true, 1]}',
        "status": 400,
        "error": "JSON Value: 1 Type: Number is not of expected type: bool",
    },
    {
        "name": "a float among integers",
        "url": U,
        "body": b'{"signature_name": "int64", "inputs": [1, 2.5]}',
        "status": 400,
        "error": "JSON Value: 2.5 Type: Number is not of expected type: int64",
    },
    {
        "name": "text among floats",
        "url": U,
        "body": b'{"signature_name": "float32", "inputs": [1.0, "2"]}',
        "status": 400,
        "error": 'JSON Value: "2" Type: String is not of expected type: float',
    },
    # types that have no JSON form
    {
        "name": "half, columnar",
        "url": U,
        "body": {"signature_name": "float16", "inputs": [1.0]},
        "status": 501,
        "error": "Conversion of JSON Value: 1.0 to type: half",
    },
    {
        "name": "half, row",
        "url": U,
        "body": {"signature_name": "float16", "instances": [1.0]},
        "status": 400,
        "error": "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0 to type: half",
    },
    {
        "name": "uint16, columnar",
        "url": U,
        "body": {"signature_name": "uint16", "inputs": [1]},
        "status": 501,
        "error": "Conversion of JSON Value: 1 to type: uint16",
    },
]
