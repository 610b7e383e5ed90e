# Two stages: the first builds, the second carries only what runs.
FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/daybook
COPY requirements/ requirements/
RUN /opt/daybook/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt \
    && pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/daybook/bin/pip install --no-cache-dir --no-deps --no-index /wheels/daybook-*.whl

FROM python:3.13-slim
# A user of its own: the service needs no right on the machine.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/daybook daybook
COPY --from=build /opt/daybook /opt/daybook
ENV PATH=/opt/daybook/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER daybook
WORKDIR /var/lib/daybook
EXPOSE 8400
ENTRYPOINT ["daybook"]
CMD ["--help"]
