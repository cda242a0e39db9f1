//! The deduplication token: a pure function of the batch and the table, so that every retry repeats it.

use crate::claim::BatchId;

/// `insert_deduplication_token` for one table of a batch: `ph1:<batch id>/<table>`.
///
/// The identity is random, so a recreated topic or a reset offset can never meet an old token.
#[must_use]
pub fn token(batch: BatchId, table: &str) -> String {
    format!("ph1:{batch}/{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_batch_and_table_and_nothing_else() {
        assert_eq!(token(BatchId(0xab), "clicks"), "ph1:000000000000000000000000000000ab/clicks");
    }
}
