# The load side and the report: `serveoff`, Locust, and no framework. From the repository's root:
#   docker build --file docker/load.Dockerfile --tag serveoff/load .
# `serveoff loadtest`, `load-worker`, `report`, `ui`; `serve` only of servers that somebody else started (--launcher attached).
# The workspace is /workspace: mount one there that the container's user, 10001 unless told otherwise, may write to.
ARG BASE_IMAGE=debian:bookworm-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN python3 -m venv /build/tools && /build/tools/bin/pip install --no-cache-dir "pip>=25.1" hatchling \
 && python3 -m venv --without-pip /opt/serveoff
WORKDIR /build/source
COPY pyproject.toml constraints.txt ./
# Tests of packages are not needed to load.
RUN /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --constraint constraints.txt --group load \
 && find /opt/serveoff -depth -type d -name tests -exec rm -r {} +
COPY . .
RUN /build/tools/bin/pip --python /opt/serveoff/bin/python install --no-cache-dir --no-compile --no-deps .

FROM ${BASE_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin serveoff \
 && mkdir --mode 1777 /workspace
COPY --from=build /opt/serveoff /opt/serveoff
ENV PATH=/opt/serveoff/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 HOME=/tmp SERVEOFF_WORKSPACE=/workspace
USER 10001
WORKDIR /workspace
EXPOSE 5557 8089
ENTRYPOINT ["serveoff"]
