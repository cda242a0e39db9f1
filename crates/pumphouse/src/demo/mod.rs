//! The demonstration: real events through a real worker into a real ClickHouse, in one command.

pub mod ahead;
pub mod bad;
pub mod configuration;
pub mod count;
pub mod events;
pub mod feed;
pub mod mock_kafka;
pub mod producer;
pub mod schedule;
pub mod view;
