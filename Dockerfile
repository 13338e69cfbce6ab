# syntax=docker/dockerfile:1
# The image for other CI systems and for Kubernetes. It holds the one binary and the certificate roots, and runs as
# nobody in particular. `docker build -t loadgate .`

FROM rust:1-slim-bookworm AS build
# Debian removes superseded versions, so a pinned one would stop building.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .cargo ./.cargo
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY benches ./benches
# What was downloaded and compiled before is reused where the builder keeps it. The sources' times are those of the
# checkout, which may be older than the kept build: touched, they are always compiled.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin cargo-loadgate \
    && cp target/release/cargo-loadgate /usr/local/bin/cargo-loadgate

FROM debian:bookworm-slim
# Debian removes superseded versions, so a pinned one would stop building.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin loadgate
COPY --from=build /usr/local/bin/cargo-loadgate /usr/local/bin/cargo-loadgate
USER 10001
WORKDIR /home/loadgate
ENTRYPOINT ["/usr/local/bin/cargo-loadgate"]
CMD ["--help"]
