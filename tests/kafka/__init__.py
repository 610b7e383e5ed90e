"""A real Apache Kafka for tests and benchmarks: jars from Maven, brokers on free loopback ports."""
