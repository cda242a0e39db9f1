//! Tests against real servers: Apache Kafka and ClickHouse, started once for this binary and gone with it.
//! A module per subject; `world` gives each test a database, a topic and a group of its own, `story` a stream
//! of generated events with an exact count at its end.

mod audit;
mod check_live;
mod clickhouse;
mod column_types;
mod composites;
mod crashes;
mod curves;
mod damage;
mod dead;
mod dead_ground;
mod dead_odd;
mod delivery;
mod demo;
mod gaps;
mod ghosts;
mod groups;
mod incidents;
mod isolation;
mod letters;
mod old_claims;
mod oracle;
mod outages;
mod places;
mod poison;
mod pressure;
mod refusals;
mod resends;
mod servers;
mod several_tables;
mod story;
mod tables;
mod transactions;
mod views;
mod wire;
mod world;
