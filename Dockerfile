# The base install and the web application: docs/docker.md. Nothing is fetched at run time.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/minicube \
    && /opt/minicube/bin/pip install --no-cache-dir -c constraints.txt '.[phantom,dicom,serve]' \
    && /opt/minicube/bin/pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="minicube" \
      org.opencontainers.image.description="Brain-tumour segmentation in MRI. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 1000 minicube && install -d -o minicube -g minicube /data
COPY --from=build /opt/minicube /opt/minicube
ENV PATH=/opt/minicube/bin:$PATH PYTHONUNBUFFERED=1
USER minicube
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Beyond loopback the server refuses to start without keys, one a line, at /run/secrets/api-keys.
ENTRYPOINT ["minicube"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/data", "--api-key-file", "/run/secrets/api-keys"]
