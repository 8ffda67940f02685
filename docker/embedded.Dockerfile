# The embedded server with every runtime. From the repository's root:
#   docker build --file docker/embedded.Dockerfile --tag serveoff/embedded .
# pip takes PyTorch's CUDA build by default: name PyTorch's CPU wheels with --build-arg PIP_EXTRA_INDEX_URL=..., and save some gigabytes.
# The command line, MODEL_NAME, MODEL_BASE_PATH and the ports are those of the image tensorflow/serving.
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ARG PIP_EXTRA_INDEX_URL
RUN python3 -m venv /build/tools && /build/tools/bin/pip install --no-cache-dir "pip>=25.1" hatchling \
 && python3 -m venv --without-pip /opt/serveoff
WORKDIR /build/source
COPY pyproject.toml constraints.txt ./
RUN /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --constraint constraints.txt --group embedded
COPY . .
RUN /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --no-deps .

FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin serveoff \
 && mkdir /models
COPY --from=build /opt/serveoff /opt/serveoff
# Under TF Serving's name, too, so that this image can stand in for TF Serving's.
COPY docker/tensorflow_model_server /usr/local/bin/
ENV PATH=/opt/serveoff/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 HOME=/tmp MODEL_BASE_PATH=/models MODEL_NAME=model
USER 10001
EXPOSE 8500 8501
ENTRYPOINT ["tensorflow_model_server", "--port=8500", "--rest_api_port=8501"]
