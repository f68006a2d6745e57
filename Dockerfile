# What both stages start from: Python 3.11.16 on Debian, for all of its architectures. Renew the digest with each
# release, so that it takes up what the distribution has mended:
#   docker buildx imagetools inspect python:3.11-slim --format '{{.Manifest.Digest}}'
ARG BASE=python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

# The builder has the compilers and the build backend; the image gets neither.
FROM ${BASE} AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:

# For what every frame passes through: it is compiled (pyproject.toml names the modules).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc=4:* libc6-dev=2.* \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src

# The locked packages first: they change less often than the code, and stay in the layer cache. Each file
# is a closure, and installed without resolving: otherwise newer releases than the pinned ones break it.
COPY requirements/build.txt requirements/compile.txt requirements/redis.txt requirements/
RUN python -m venv /opt/segue \
    && /opt/segue/bin/pip install --no-deps --require-hashes -r requirements/redis.txt \
    && /opt/segue/bin/pip check \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.txt \
        -r requirements/compile.txt \
    && /opt/build/bin/pip check

COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=1 /opt/build/bin/pip wheel --no-deps --no-build-isolation \
        --wheel-dir /dist . \
    && /opt/segue/bin/pip install --no-deps --no-index /dist/*.whl


FROM ${BASE}

RUN useradd --system --no-create-home --shell /usr/sbin/nologin --uid 10001 segue \
    && install --directory --owner=segue --mode=0700 /var/lib/segue

COPY --from=builder /opt/segue /opt/segue

# `mappings` in config.yaml is read relative to the file that names it.
WORKDIR /etc/segue
COPY config.yaml ./
COPY mappings mappings

# The addresses stand here and not in CMD, so that `segue health` knows them too.
ENV PATH=/opt/segue/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SEGUE_CONFIG=/etc/segue/config.yaml \
    SEGUE_STATE_DIR=/var/lib/segue \
    SEGUE_LISTEN__ADDRESS=0.0.0.0:8080 \
    SEGUE_ADMIN__ADDRESS=0.0.0.0:9090

# Only the state directory is written, and only while `store.url` is a file in it: mount a volume
# there, and leave the root file system read-only.
USER 10001

# Clients, and the admin listener: probes and metrics.
EXPOSE 8080 9090

HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["segue", "health"]

# SIGTERM, docker's default, drains: give `docker stop --time` more than the drain's deadline.
ENTRYPOINT ["segue"]
CMD ["run"]
