//! The wire to ClickHouse.
