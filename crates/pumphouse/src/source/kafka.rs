//! Kafka as a source: membership in a group, records in place, offsets with metadata, and reads beside the group.

pub mod coordinator;
mod ffi;
pub mod lookup;
pub mod membership;
pub mod properties;
pub mod reader;

use crate::decode::{Headers, Record};

pub(crate) use ffi::{Message, Taken};

/// A record's headers, read only for a dead letter.
struct MessageHeaders<'a, 'm>(&'a Message<'m>);

impl Headers for MessageHeaders<'_, '_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.each_header(visit);
    }
}

/// Hands librdkafka's message to `take` as the decoder knows it, without a copy.
pub(crate) fn with_record<T>(
    partition: u32,
    message: &Message<'_>,
    take: impl FnOnce(&Record<'_>) -> T,
) -> T {
    take(&Record {
        partition,
        offset: message.offset(),
        timestamp_ms: message.timestamp(),
        key: message.key(),
        payload: message.payload(),
        headers: &MessageHeaders(message),
    })
}
