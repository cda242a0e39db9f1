//! The world in a box: a Kafka, a ClickHouse, clocks and crashes around the pump that is shipped. One seed, one history.

pub mod model;
