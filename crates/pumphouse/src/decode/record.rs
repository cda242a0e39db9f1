//! What the source hands over, and what became of it. Borrowed: decoding copies only what it keeps.

/// One message as the source hands it over.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Kafka's partition.
    pub partition: u32,
    /// Kafka's offset.
    pub offset: u64,
    /// Kafka's time of the record, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; a tombstone has none.
    pub payload: Option<&'a [u8]>,
    /// The headers; only dead letters keep them.
    pub headers: &'a dyn Headers,
}

/// The headers of a message, as far as anyone asks for them.
pub trait Headers {
    /// Calls `visit` with the name and value of each header, in order.
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// No headers at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _visit: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}

/// What became of a message. Of one with several records, what became of the worst of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pushed {
    /// It stands for no row: a tombstone, a message without records, or a record that no table takes.
    Filtered,
    /// It is a row of each table that takes it.
    Row,
    /// It can't become a row; a dead letter says why.
    DeadLetter,
}
