//! Tests against real servers: Apache Kafka and ClickHouse, started once for this binary and gone with it.
//! A module per subject; `world` gives each test a database, a topic and a group of its own.

mod demo;
mod servers;
mod world;
