//! A sealed batch on its way: columns until they are encoded, then bytes that every retry sends again.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow_array::RecordBatch;
use pumphouse_clickhouse::arrow_stream::{self, Body, Compression, EncodeError};
use tokio::sync::OnceCell;

use crate::decode::Sealed;

/// The rows of one batch, one part per table, by the tables' order.
pub struct Payload {
    columns: Mutex<Vec<Option<RecordBatch>>>,
    bodies: OnceCell<Vec<Option<Body>>>,
    compression: Compression,
    /// The server that got the batch, once an answer left it in doubt: no other one may get it then.
    pub in_doubt_at: OnceLock<usize>,
    /// When the batch's records were made, for freshness: Kafka's time in milliseconds and how many.
    pub times: Vec<(i64, u64)>,
    /// Rows of all tables but the dead letters.
    pub rows: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

impl Payload {
    /// Wraps what was sealed. The parts are in the order of the sink's targets: tables, then dead letters.
    #[must_use]
    pub fn new(sealed: Sealed, compression: Compression, times: Vec<(i64, u64)>) -> Self {
        let counted = |part: &Option<RecordBatch>| part.as_ref().map_or(0, |part| part.num_rows() as u64);
        let (rows, dead_letters) = (sealed.tables.iter().map(counted).sum(), counted(&sealed.dead_letters));
        let mut columns = sealed.tables;
        columns.push(sealed.dead_letters);
        Self {
            columns: Mutex::new(columns),
            bodies: OnceCell::new(),
            compression,
            in_doubt_at: OnceLock::new(),
            times,
            rows,
            dead_letters,
        }
    }

    /// The encoded part of a table; encodes all parts at the first call and frees the columns.
    ///
    /// # Errors
    /// When the columns can't be encoded, which no column of ours does.
    pub async fn body(self: &Arc<Self>, table: usize) -> Result<Option<&Body>, EncodeError> {
        let bodies = self
            .bodies
            .get_or_try_init(|| async {
                let payload = Arc::clone(self);
                let encoded = tokio::task::spawn_blocking(move || payload.encode()).await;
                encoded.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
            })
            .await?;
        Ok(bodies.get(table).and_then(Option::as_ref))
    }

    fn encode(&self) -> Result<Vec<Option<Body>>, EncodeError> {
        // Batches share their buffers, so a clone costs nothing; the columns go once all of them are encoded.
        let columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let encode = |part: &Option<RecordBatch>| {
            part.as_ref().map(|batch| arrow_stream::encode(batch, self.compression)).transpose()
        };
        let bodies = columns.iter().map(encode).collect::<Result<_, _>>()?;
        self.columns.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(bodies)
    }
}
