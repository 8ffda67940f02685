# TFLite on a small machine: the embedded server on tflite-runtime, with nothing else of TensorFlow. From the repository's root:
#   docker build --file docker/edge.Dockerfile --tag serveoff/edge .
# The command line, MODEL_NAME, MODEL_BASE_PATH and the ports are those of the image tensorflow/serving.
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN python3 -m venv /build/tools && /build/tools/bin/pip install --no-cache-dir "pip>=25.1" hatchling \
 && python3 -m venv --without-pip /opt/serveoff
WORKDIR /build/source
COPY pyproject.toml constraints.txt ./
# tflite-runtime was built for numpy 1: our constraint on numpy does not hold here. Tests and headers of packages are not needed to serve.
RUN sed '/^numpy==/d' constraints.txt >edge.txt \
 && /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --constraint edge.txt --group edge \
 && find /opt/serveoff -depth -type d -name tests -exec rm -r {} +
COPY . .
RUN /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --no-deps .

FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin serveoff \
 && mkdir /models
COPY --from=build /opt/serveoff /opt/serveoff
COPY docker/tensorflow_model_server /usr/local/bin/
ENV PATH=/opt/serveoff/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MODEL_BASE_PATH=/models MODEL_NAME=model
USER 10001
EXPOSE 8500 8501
ENTRYPOINT ["tensorflow_model_server", "--port=8500", "--rest_api_port=8501"]
