# The image of the sidecar: one static binary, the system's certificate
# authorities, nothing else. `make image` builds it.

ARG GO_VERSION=1.26

# Named so that `--build-context build=DIR` can put a directory in its place:
# `make image-local` packs a binary that was built outside, without a registry.
# The directory then holds what the last stage copies: /out and the
# certificates. The stage runs on the builder's own platform and cross-compiles
# for the target's.
FROM --platform=$BUILDPLATFORM docker.io/library/golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/qdrant-sidecar ./cmd/qdrant-sidecar

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="qdrant-sidecar" \
      org.opencontainers.image.description="Transparent gRPC proxy beside an app, in front of Qdrant" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/qdrant-sidecar /qdrant-sidecar
# A number, because Kubernetes cannot tell whether a name is root
# (runAsNonRoot) and scratch has no /etc/passwd to look one up in.
USER 65532:65532
# 6334 is Qdrant's gRPC API, 9091 probes and metrics. The data listener stays
# on 127.0.0.1, also here: containers of a pod share one network namespace, so
# the app reaches it and nothing outside of the pod does. With plain docker the
# same is `--network container:APP`.
EXPOSE 6334 9091
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/qdrant-sidecar", "probe"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/qdrant-sidecar"]
CMD ["serve"]
