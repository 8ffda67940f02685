# TorchServe from its pip package, laid out as the image pytorch/torchserve is, on today's PyTorch, and with onnxruntime. From the repository's root:
#   docker build --file docker/torchserve.Dockerfile --tag serveoff/torchserve .
#   SERVEOFF_TORCHSERVE_IMAGE=serveoff/torchserve make serve SERVER=torchserve LAUNCHER=container
# pip takes PyTorch's CUDA build by default: name PyTorch's CPU wheels with --build-arg PIP_EXTRA_INDEX_URL=..., and save some gigabytes.
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ARG PIP_EXTRA_INDEX_URL
RUN python3 -m venv /build/tools && /build/tools/bin/pip install --no-cache-dir "pip>=25.1" && python3 -m venv --without-pip /opt/torchserve
WORKDIR /build/source
COPY pyproject.toml constraints.txt ./
RUN /build/tools/bin/pip --python /opt/torchserve/bin/python install --no-cache-dir --no-compile --constraint constraints.txt --group torchserve

FROM ${BASE_IMAGE}
# Java's package wants to write manual pages, which small base images have no folder for.
RUN mkdir -p /usr/share/man/man1 && apt-get update \
 && apt-get install --yes --no-install-recommends python3 openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 1000 --create-home model-server \
 && mkdir -p /home/model-server/model-store /home/model-server/tmp && chown -R model-server /home/model-server
COPY --from=build /opt/torchserve /opt/torchserve
ENV PATH=/opt/torchserve/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 TEMP=/home/model-server/tmp
USER model-server
WORKDIR /home/model-server
EXPOSE 8080 7070
ENTRYPOINT ["torchserve", "--start", "--foreground", "--ncs", "--model-store", "/home/model-server/model-store"]
