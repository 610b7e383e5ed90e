"""Apache Kafka on this machine: one broker or several, started, killed, started again and gone afterwards."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_POM: Final = Path(__file__).with_name("pom.xml")
_READY_SECONDS: Final = 90.0
# Brokers that stop together wait for each other's leadership in vain.
_STOP_SECONDS: Final = 5.0
# Small machines run these beside PostgreSQL and the tests: a small heap, and a quick start.
_JAVA: Final = ("java", "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# A benchmark's broker may take its time to start, and compiles what is hot.
_JAVA_STEADY: Final = ("java", "-Xms512m", "-Xmx1g", "-XX:+UseParallelGC")


@cache
def class_path() -> str:
    """Resolve the jars with Maven, or fail: without a real Kafka nothing here is proven."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    assert not missing, f"the tests start a real Apache Kafka: install Java 17 and Maven ({missing} missing)"
    with tempfile.TemporaryDirectory(prefix="daybook-") as folder:
        output = Path(folder) / "class_path"
        command = ["mvn", "--quiet", "--batch-mode", "--file", str(_POM)]
        command += ["dependency:build-classpath", f"-Dmdep.outputFile={output}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
        return output.read_text().strip()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        found = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
        return found


class Broker:
    """One node: a broker that is a controller too."""

    def __init__(self, node: int, folder: Path, java: Sequence[str]) -> None:
        """Name its folder; it is formatted by its cluster, and started by `start`."""
        self.node = node
        self.folder = folder
        self._java = java
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, "it runs"
        return self._process.pid

    def format(self, cluster_id: str, properties: str) -> None:
        """Write its settings and make its storage ready."""
        self.folder.mkdir()
        (self.folder / "server.properties").write_text(properties)
        self._run("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c")

    def start(self) -> None:
        """Start it; it is not ready yet."""
        command = [*self._java, "-cp", class_path(), "kafka.Kafka", self._settings]
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=_environment(self.folder), stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it as nothing can prevent."""
        assert self._process is not None, "it runs"
        self._process.kill()
        self._process.wait(_STOP_SECONDS)

    def ask_to_stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """See that it has ended."""
        if self._process is None:
            return
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self) -> str:
        """Give the end of its log."""
        with suppress(FileNotFoundError):
            return (self.folder / "broker.log").read_text(errors="replace")[-4000:]
        return ""

    @property
    def _settings(self) -> str:
        return str(self.folder / "server.properties")

    def _run(self, *arguments: str) -> None:
        command = [*self._java, "-cp", class_path(), *arguments, self._settings]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(self.folder),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


class Cluster:
    """Brokers that know one another."""

    def __init__(self, folder: Path, nodes: int = 1, *, steady: bool = False) -> None:
        """Format the storage of every node on ports that are free now, and stay its own."""
        ports = _free_ports(2 * nodes)
        self._listeners, controllers = ports[:nodes], ports[nodes:]
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
        java = _JAVA_STEADY if steady else _JAVA
        self.brokers = [Broker(node, folder / f"node-{node}", java) for node in range(1, nodes + 1)]
        cluster_id = base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode().replace("-", "A")
        for broker, port, controller in zip(self.brokers, self._listeners, controllers, strict=True):
            broker.format(cluster_id, _properties(broker, port, controller, voters, nodes))

    @property
    def bootstrap_servers(self) -> str:
        """Where clients begin."""
        return ",".join(f"127.0.0.1:{port}" for port in self._listeners)

    def start(self) -> None:
        """Start every broker, and wait until they answer."""
        for broker in self.brokers:
            broker.start()
        self.wait()

    def restart(self, broker: Broker) -> None:
        """Start a broker that was killed, and wait until all answer."""
        broker.start()
        self.wait()

    def stop(self) -> None:
        """Stop every broker."""
        for broker in self.brokers:
            broker.ask_to_stop()
        for broker in self.brokers:
            broker.end()

    def wait(self) -> None:
        """Wait until every broker is a member of the cluster."""
        deadline = time.monotonic() + _READY_SECONDS
        while self._known() < len(self.brokers):
            assert time.monotonic() < deadline, "\n".join(broker.said() for broker in self.brokers)
            time.sleep(0.2)

    def _known(self) -> int:
        """Count the brokers that each broker's port answers for."""
        for port in self._listeners:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                continue
            return 0
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers, request_timeout_ms=5000, bootstrap_timeout_ms=5000
            )
        except KafkaError:
            return 0
        try:
            return len(admin.describe_cluster()["brokers"])
        except KafkaError:
            return 0
        finally:
            admin.close()


def _environment(folder: Path) -> dict[str, str]:
    # Kafka's own scripts set these; without them it would write its log to the current folder.
    return {**os.environ, "LOG_DIR": str(folder), "KAFKA_LOG4J_OPTS": ""}


def _properties(broker: Broker, port: int, controller: int, voters: str, nodes: int) -> str:
    replicas = min(3, nodes)
    settings = {
        "process.roles": "broker,controller",
        "node.id": broker.node,
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": broker.folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": max(1, replicas - 1),
        # Tests wait for no one: a group forms as soon as a member asks, and a killed broker is missed soon.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


@contextmanager
def running_cluster(nodes: int = 1, *, steady: bool = False) -> Iterator[Cluster]:
    """Run a cluster in a temporary folder; whatever happens, nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="daybook-kafka-"))
    try:
        cluster = Cluster(folder, nodes, steady=steady)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
