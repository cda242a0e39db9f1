//! Where events come from. A source hands over records in place and takes offsets back.

pub mod kafka;
