"""Paths and verbs. `half` has the versions 5 (x/4+3) and 7 (x/2+2), and the labels `stable` (7) and `old one` (5)."""


def post(name: str, path: str, status: int, **expected: object) -> dict[str, object]:
    return {"name": name, "verb": "POST", "path": path, "body": b'{"instances": [1]}', "status": status, **expected}


def look(name: str, path: str, status: int, verb: str = "GET", **expected: object) -> dict[str, object]:
    return {"name": name, "verb": verb, "path": path, "body": None, "status": status, **expected}


def malformed(verb: str, path: str) -> dict[str, object]:
    return {
        "name": f"malformed {verb} {path}",
        "verb": verb,
        "path": path,
        "body": b"{}" if verb == "POST" else None,
        "status": 400,
        "error": f"Malformed request: {verb} {path}",
    }


NEW, OLD = {"predictions": [2.5]}, {"predictions": [3.25]}

CASES = [
    post("latest", "/v1/models/half:predict", 200, json=NEW),
    post("version", "/v1/models/half/versions/7:predict", 200, json=NEW),
    post("older version", "/v1/models/half/versions/5:predict", 200, json=OLD),
    post("zeros before the version", "/v1/models/half/versions/0005:predict", 200, json=OLD),
    post("label", "/v1/models/half/labels/stable:predict", 200, json=NEW),
    post("percent-encoded label", "/v1/models/half/labels/old%20one:predict", 200, json=OLD),
    post("percent-encoded name", "/v1/models/with%20space:predict", 200, json=NEW),
    post("percent-encoded letters", "/v1/models/%68alf:predict", 200, json=NEW),
    post("fixed parts in capitals", "/V1/MODELS/half/VERSIONS/5:predict", 200, json=OLD),
    post("unknown model", "/v1/models/ghost:predict", 404, error="Servable not found for request: Latest(ghost)"),
    post("names are not blind to case", "/v1/models/HALF:predict", 404, error="Servable not found for request: Latest(HALF)"),
    post("unknown version", "/v1/models/half/versions/6:predict", 404, error="Servable not found for request: Specific(half, 6)"),
    post(
        "version of an unknown model",
        "/v1/models/ghost/versions/6:predict",
        404,
        error="Servable not found for request: Specific(ghost, 6)",
    ),
    post(
        "the largest version",
        "/v1/models/half/versions/9223372036854775807:predict",
        404,
        error="Servable not found for request: Specific(half, 9223372036854775807)",
    ),
    post("unknown label", "/v1/models/half/labels/canary:predict", 400, error="Unrecognized servable version label: canary"),
    post(
        "label of a model without labels", "/v1/models/two/labels/stable:predict", 400, error="Unrecognized servable version label: stable"
    ),
    post("label of an unknown model", "/v1/models/ghost/labels/stable:predict", 400, error="Unrecognized servable version label: stable"),
    post(
        "version too large",
        "/v1/models/half/versions/9223372036854775808:predict",
        400,
        error="Failed to convert version: 9223372036854775808 to numeric.",
    ),
    post(
        "version far too large",
        "/v1/models/half/versions/" + "9" * 60 + ":predict",
        400,
        error="Failed to convert version: " + "9" * 60 + " to numeric.",
    ),
    malformed("POST", "/v1/models/half:PREDICT"),
    malformed("POST", "/v1/models/half:forecast"),
    malformed("POST", "/v1/models/half"),
    malformed("POST", "/v1/models/half:predict/"),
    malformed("POST", "/v1/models/half:predict?x=1"),
    malformed("POST", "/v1/models/:predict"),
    malformed("POST", "/v1/models/half/versions/x:predict"),
    malformed("POST", "/v1/models/half/versions/-5:predict"),
    malformed("POST", "/v1/models/half/versions/:predict"),
    malformed("POST", "/v1/models/half/versions/5/labels/stable:predict"),
    malformed("POST", "/v1/models/half/labels/:predict"),
    malformed("POST", "/v1/models/half/metadata"),
    malformed("POST", "/v1/models/a/b:predict"),
    malformed("POST", "/v1//models/half:predict"),
    malformed("POST", "/v1/"),
    malformed("PUT", "/v1/models/half"),
    malformed("PUT", "/v1/models/half:predict"),
    malformed("DELETE", "/v1/models/half"),
    malformed("PATCH", "/v1/models/half"),
    malformed("GET", "/v1/models/half:predict"),
    malformed("GET", "/v1/models/half/"),
    malformed("GET", "/v1/models/half/versions"),
    malformed("GET", "/v1/models/half/versions/x"),
    malformed("GET", "/v1/models/half/metadata/"),
    malformed("GET", "/v1/models/half/status"),
    look("HEAD", "/v1/models/half", 400, verb="HEAD", reply=b""),
    look("no model", "/v1/models", 400, error="Missing model name in request."),
    look("no model, metadata", "/v1/models/metadata/metadata", 404, error="Servable not found for request: Latest(metadata)"),
    look("status of an unknown model", "/v1/models/ghost", 404, error="Could not find any versions of model ghost"),
    look("status of an unknown version", "/v1/models/half/versions/6", 404, error="Could not find version 6 of model half"),
    look("a query becomes part of the name", "/v1/models/half?x=1", 404, error="Could not find any versions of model half?x=1"),
    look("metadata of an unknown model", "/v1/models/ghost/metadata", 404, error="Servable not found for request: Latest(ghost)"),
    look(
        "metadata of an unknown version",
        "/v1/models/half/versions/6/metadata",
        404,
        error="Servable not found for request: Specific(half, 6)",
    ),
    look(
        "metadata of an unknown label", "/v1/models/half/labels/canary/metadata", 400, error="Unrecognized servable version label: canary"
    ),
    look(
        "version too large",
        "/v1/models/half/versions/9223372036854775808",
        400,
        error="Failed to convert version: 9223372036854775808 to numeric.",
    ),
    look("outside of /v1/", "/", 404, contains_raw=b"<H1>Not Found</H1>"),
    look("another version of the API", "/v2/models/half", 404, contains_raw=b"404 Not Found"),
    look("/v1 alone", "/v1", 404, contains_raw=b"404 Not Found"),
]
