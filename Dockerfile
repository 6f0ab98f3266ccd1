# syntax=docker/dockerfile:1

FROM node:22-bookworm-slim AS page
WORKDIR /plenum/crates/web
COPY crates/web/package.json crates/web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY crates/web ./
RUN npm run build

FROM rust:1.95-bookworm AS program
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        cmake nasm clang libclang-dev pkg-config libvpx-dev libyuv-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /plenum
COPY . .
COPY --from=page /plenum/crates/web/dist crates/web/dist
RUN cargo build --release --locked -p plenum

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libvpx7 libyuv0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/plenum --create-home plenum
COPY --from=program /plenum/target/release/plenum /usr/local/bin/plenum
COPY --from=program /plenum/LICENSE /usr/share/doc/plenum/LICENSE
USER plenum
WORKDIR /var/lib/plenum
VOLUME /var/lib/plenum
# SIGTERM: people are told, calls get BYE; it takes ten seconds at most.
STOPSIGNAL SIGTERM
ENTRYPOINT ["plenum"]
CMD ["serve", "--config", "/etc/plenum/plenum.toml"]
