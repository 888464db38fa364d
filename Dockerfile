# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/trackops-notifier ./cmd/trackops-notifier \
 && mkdir -p /out/data /out/tmp /out/etc \
 && echo 'notifier:x:65532:65532::/data:/' > /out/etc/passwd \
 && chmod 1777 /out/tmp

# The program holds its own time zones (time/tzdata); certificates come from the
# build image.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/etc/passwd /etc/passwd
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/trackops-notifier /trackops-notifier

# Probes come from outside of the container, so its loopback would not do.
ENV DATA_DIR=/data \
    HTTP_LISTEN=0.0.0.0:8080
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/trackops-notifier", "health"]
ENTRYPOINT ["/trackops-notifier"]
CMD ["run"]
