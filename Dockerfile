# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/trackops-notifier ./cmd/trackops-notifier
# A folder that is itself copied to / keeps its mode; one whose content is copied
# does not with every builder.
RUN mkdir -p /out/etc /out/own/data /out/own/tmp \
 && chmod 0700 /out/own/data \
 && chmod 1777 /out/own/tmp \
 && echo 'notifier:x:65532:65532::/data:/' > /out/etc/passwd

# The program holds its own time zones (time/tzdata); certificates come from the
# build image.
FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="trackops-notifier" \
      org.opencontainers.image.description="Tells Slack, email, webhooks and NATS subscribers what changes in a Trackops account" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/etc/passwd /etc/passwd
COPY --from=build --chown=65532:65532 /out/own/ /
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
