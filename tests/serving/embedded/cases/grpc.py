# ruff: noqa: E501
"""gRPC calls as text protos. `code` is gRPC's; `reply` is compared as a message, `details` and `contains` with the error text."""

P, M = "PredictionService/", "ModelService/"


def predict(name: str, request: str, **expected: object) -> dict[str, object]:
    return {"name": name, "method": P + "Predict", "request": request, **expected}


def call(name: str, method: str, request: str, **expected: object) -> dict[str, object]:
    return {"name": name, "method": method, "request": request, **expected}


HALF = "model_spec { name: 'half' version { value: 7 } signature_name: 'serving_default' }"
ONE = "dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1"
X = f"inputs {{ key: 'x' value {{ {ONE} }} }}"
Y = "outputs { key: 'y' value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 2.5 } }"
EXAMPLE = "input { example_list { examples { features { feature { key: 'x' value { float_list { value: 4 } } } } } } }"
TYPES = "model_spec { name: 'types' version { value: 1 } signature_name: '%s' }"


def echo(name: str, dtype: str, signature: str, values: str, reply: str, shape: str = "dim { size: 2 }") -> dict[str, object]:
    spec = f"model_spec {{ name: 'types' signature_name: '{signature}' }}"
    return predict(
        name,
        f"{spec} inputs {{ key: 'x' value {{ dtype: {dtype} tensor_shape {{ {shape} }} {values} }} }}",
        reply=f"{TYPES % signature} outputs {{ key: 'y' value {{ dtype: {dtype} tensor_shape {{ {shape} }} {reply} }} }}",
    )


CASES = [
    predict("latest", f"model_spec {{ name: 'half' }} {X}", reply=f"{HALF} {Y}"),
    predict("version", f"model_spec {{ name: 'half' version {{ value: 7 }} }} {X}", reply=f"{HALF} {Y}"),
    predict("label", f"model_spec {{ name: 'half' version_label: 'stable' }} {X}", reply=f"{HALF} {Y}"),
    predict("signature", f"model_spec {{ name: 'half' signature_name: 'serving_default' }} {X}", reply=f"{HALF} {Y}"),
    predict(
        "output filter",
        f"model_spec {{ name: 'outputs' }} {X} output_filter: 'y'",
        reply="model_spec { name: 'outputs' version { value: 1 } signature_name: 'serving_default' } outputs { key: 'y' value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: 1 } }",
    ),
    predict(
        "raw bytes in",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } } tensor_content: '\\000\\000\\200\\077' } }",
        reply=f"{HALF} {Y}",
    ),
    predict(
        "a scalar",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { } float_val: 1 } }",
        reply=f"{HALF} outputs {{ key: 'y' value {{ dtype: DT_FLOAT tensor_shape {{ }} float_val: 2.5 }} }}",
    ),
    predict(
        "an empty batch",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { } } } }",
        reply=f"{HALF} outputs {{ key: 'y' value {{ dtype: DT_FLOAT tensor_shape {{ dim {{ }} }} }} }}",
    ),
    predict(
        "one value for all",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: 2 } }",
        reply=f"{HALF} outputs {{ key: 'y' value {{ dtype: DT_FLOAT tensor_shape {{ dim {{ size: 3 }} }} float_val: 3 float_val: 3 float_val: 3 }} }}",
    ),
    echo(
        "int64",
        "DT_INT64",
        "int64",
        "int64_val: -9223372036854775808 int64_val: 9223372036854775807",
        "int64_val: -9223372036854775808 int64_val: 9223372036854775807",
    ),
    echo(
        "uint64", "DT_UINT64", "uint64", "uint64_val: 18446744073709551615 uint64_val: 1", "uint64_val: 18446744073709551615 uint64_val: 1"
    ),
    echo("bool", "DT_BOOL", "bool", "bool_val: true bool_val: false", "bool_val: true bool_val: false"),
    echo("string", "DT_STRING", "string", "string_val: '\\377a' string_val: ''", "string_val: '\\377a' string_val: ''"),
    echo("half", "DT_HALF", "float16", "half_val: 15360 half_val: 48128", "half_val: 15360 half_val: 48128"),
    echo("uint8", "DT_UINT8", "uint8", "int_val: 255 int_val: 0", "int_val: 255 int_val: 0"),
    echo("double", "DT_DOUBLE", "float64", "double_val: 0.1 double_val: 1e300", "double_val: 0.1 double_val: 1e300"),
    predict("no model_spec", X, code="INVALID_ARGUMENT", details="Missing ModelSpec"),
    predict("no name", f"model_spec {{ }} {X}", code="INVALID_ARGUMENT", details="ModelSpec has no name specified."),
    predict(
        "unknown model", f"model_spec {{ name: 'ghost' }} {X}", code="NOT_FOUND", details="Servable not found for request: Latest(ghost)"
    ),
    predict(
        "unknown version",
        f"model_spec {{ name: 'half' version {{ value: 6 }} }} {X}",
        code="NOT_FOUND",
        details="Servable not found for request: Specific(half, 6)",
    ),
    predict(
        "unknown label",
        f"model_spec {{ name: 'half' version_label: 'x' }} {X}",
        code="INVALID_ARGUMENT",
        details="Unrecognized servable version label: x",
    ),
    predict(
        "unknown signature",
        f"model_spec {{ name: 'half' signature_name: 'x' }} {X}",
        code="FAILED_PRECONDITION",
        details='Serving signature key "x" not found.',
    ),
    predict(
        "no inputs",
        "model_spec { name: 'half' }",
        code="INVALID_ARGUMENT",
        details="input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    predict(
        "one input too few",
        "model_spec { name: 'two' } inputs { key: 'a' value { " + ONE + " } }",
        code="INVALID_ARGUMENT",
        details="input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}.",
    ),
    predict(
        "one input too many",
        f"model_spec {{ name: 'half' }} {X} inputs {{ key: 'z' value {{ {ONE} }} }}",
        code="INVALID_ARGUMENT",
        details="input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. Missing but required: {}.",
    ),
    predict(
        "another name",
        f"model_spec {{ name: 'half' }} inputs {{ key: 'z' value {{ {ONE} }} }}",
        code="INVALID_ARGUMENT",
        details="input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
    ),
    predict(
        "another type",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 1 } }",
        code="INVALID_ARGUMENT",
        contains="to be float but int32 is provided",
    ),
    predict(
        "unknown output",
        f"model_spec {{ name: 'half' }} {X} output_filter: 'z'",
        code="INVALID_ARGUMENT",
        contains="output tensor alias not found in signature: z",
    ),
    predict(
        "twice the same output",
        f"model_spec {{ name: 'half' }} {X} output_filter: 'y' output_filter: 'y'",
        code="INVALID_ARGUMENT",
        details="duplicate output tensor alias: y",
    ),
    predict(
        "content of another size",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: 'abcd' } }",
        code="INVALID_ARGUMENT",
        contains="tensor parsing error: x",
    ),
    predict(
        "a negative size",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: -1 } } } }",
        code="INVALID_ARGUMENT",
        contains="tensor parsing error: x",
    ),
    predict(
        "a size beyond all memory",
        "model_spec { name: 'half' } inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 4611686018427387904 } } float_val: 1 } }",
        code="INVALID_ARGUMENT",
        contains="tensor parsing error: x",
    ),
    predict("the model refuses", f"model_spec {{ name: 'errors' }} {X}", code="INVALID_ARGUMENT", details="the shapes do not fit"),
    predict("the model fails", f"model_spec {{ name: 'errors' signature_name: 'crash' }} {X}", code="INTERNAL", contains="disk on fire"),
    predict("a long error is cut", "model_spec { name: '" + "n" * 2000 + "' } " + X, code="NOT_FOUND", contains="...TRUNCATED"),
    call(
        "regress",
        P + "Regress",
        f"model_spec {{ name: 'examples' }} {EXAMPLE}",
        reply="model_spec { name: 'examples' version { value: 1 } signature_name: 'serving_default' } result { regressions { value: 4 } }",
    ),
    call(
        "classify",
        P + "Classify",
        f"model_spec {{ name: 'examples' signature_name: 'classify' }} {EXAMPLE}",
        reply="model_spec { name: 'examples' version { value: 1 } signature_name: 'classify' } result { classifications { classes { label: 'half' score: 4 } classes { label: 'same' score: 4 } } }",
    ),
    call(
        "regress with context",
        P + "Regress",
        "model_spec { name: 'examples' } input { example_list_with_context { context { features { feature { key: 'x' value { float_list { value: 8 } } } } } examples { } examples { } } }",
        reply="model_spec { name: 'examples' version { value: 1 } signature_name: 'serving_default' } result { regressions { value: 6 } regressions { value: 6 } }",
    ),
    call("regress without input", P + "Regress", "model_spec { name: 'examples' }", code="INVALID_ARGUMENT", details="Input is empty."),
    call("regress without model", P + "Regress", EXAMPLE, code="INVALID_ARGUMENT", details="Missing ModelSpec"),
    call(
        "classify on a regression",
        P + "Classify",
        f"model_spec {{ name: 'examples' }} {EXAMPLE}",
        code="FAILED_PRECONDITION",
        contains='at least one of "classes" or "scores"',
    ),
    call(
        "unknown signature to regress",
        P + "Regress",
        f"model_spec {{ name: 'examples' signature_name: 'x' }} {EXAMPLE}",
        code="INVALID_ARGUMENT",
        details="No signature was found with the name: x",
    ),
    call(
        "multi-inference",
        P + "MultiInference",
        f"tasks {{ model_spec {{ name: 'examples' }} method_name: 'tensorflow/serving/regress' }} tasks {{ model_spec {{ name: 'examples' signature_name: 'classify' }} method_name: 'tensorflow/serving/classify' }} {EXAMPLE}",
        reply="results { model_spec { name: 'examples' version { value: 1 } signature_name: 'serving_default' } regression_result { regressions { value: 4 } } } results { model_spec { name: 'examples' version { value: 1 } signature_name: 'classify' } classification_result { classifications { classes { label: 'half' score: 4 } classes { label: 'same' score: 4 } } } }",
    ),
    call(
        "multi-inference, same signature twice",
        P + "MultiInference",
        f"tasks {{ model_spec {{ name: 'examples' }} method_name: 'tensorflow/serving/regress' }} tasks {{ model_spec {{ name: 'examples' }} method_name: 'tensorflow/serving/regress' }} {EXAMPLE}",
        code="INVALID_ARGUMENT",
        details="Duplicate evaluation of signature: serving_default",
    ),
    call(
        "multi-inference, two models",
        P + "MultiInference",
        f"tasks {{ model_spec {{ name: 'examples' }} method_name: 'tensorflow/serving/regress' }} tasks {{ model_spec {{ name: 'half' }} method_name: 'tensorflow/serving/regress' }} {EXAMPLE}",
        code="INVALID_ARGUMENT",
        details="All ModelSpecs in a MultiInferenceRequest must access the same model name.",
    ),
    call(
        "multi-inference, predict",
        P + "MultiInference",
        f"tasks {{ model_spec {{ name: 'examples' }} method_name: 'tensorflow/serving/predict' }} {EXAMPLE}",
        code="UNIMPLEMENTED",
        details="Unsupported signature method_name: tensorflow/serving/predict",
    ),
    call(
        "status",
        M + "GetModelStatus",
        "model_spec { name: 'half' }",
        reply="model_version_status { version: 7 state: AVAILABLE status { } } model_version_status { version: 5 state: AVAILABLE status { } }",
    ),
    call(
        "status of a version",
        M + "GetModelStatus",
        "model_spec { name: 'half' version { value: 5 } }",
        reply="model_version_status { version: 5 state: AVAILABLE status { } }",
    ),
    call(
        "status of an unknown model",
        M + "GetModelStatus",
        "model_spec { name: 'ghost' }",
        code="NOT_FOUND",
        details="Could not find any versions of model ghost",
    ),
    call(
        "status of an unknown version",
        M + "GetModelStatus",
        "model_spec { name: 'half' version { value: 6 } }",
        code="NOT_FOUND",
        details="Could not find version 6 of model half",
    ),
    call("status without model", M + "GetModelStatus", "", code="INVALID_ARGUMENT", details="Missing ModelSpec"),
    call(
        "metadata without a field",
        P + "GetModelMetadata",
        "model_spec { name: 'half' }",
        code="INVALID_ARGUMENT",
        details="GetModelMetadataRequest must specify at least one metadata_field",
    ),
    call(
        "metadata of another kind",
        P + "GetModelMetadata",
        "model_spec { name: 'half' } metadata_field: 'x'",
        code="INVALID_ARGUMENT",
        details="Metadata field x is not supported",
    ),
    call(
        "metadata without model",
        P + "GetModelMetadata",
        "metadata_field: 'signature_def'",
        code="INVALID_ARGUMENT",
        details="Missing ModelSpec",
    ),
    call(
        "metadata of an unknown model",
        P + "GetModelMetadata",
        "model_spec { name: 'ghost' } metadata_field: 'signature_def'",
        code="NOT_FOUND",
        details="Servable not found for request: Latest(ghost)",
    ),
    call(
        "reload of nothing",
        M + "HandleReloadConfigRequest",
        "",
        code="INVALID_ARGUMENT",
        contains="Only ModelConfigList is currently supported",
    ),
]
