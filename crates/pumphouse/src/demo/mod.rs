//! The demonstration: real events through a real worker into a real ClickHouse, in one command.

pub mod bad;
pub mod events;
pub mod mock_kafka;
pub mod producer;
