//! JSON: the bytes of the object as the record has them, for the server to parse. Which objects the server would
//! refuse or change is for the rules to say.

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;

use super::Store;
use super::text::Texts;
use crate::decode::json::{DocumentRules, Reader};
use crate::decode::reject::Fault;

/// Objects of any shape.
#[derive(Default)]
pub(super) struct Documents {
    texts: Texts,
    rules: DocumentRules,
}

impl Store for Documents {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'{' {
            return Err(reader.misfit());
        }
        let from = reader.position();
        self.rules.pass(reader)?;
        self.texts.push(reader.passed(from));
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.texts.push_placeholder();
    }

    fn truncate(&mut self, rows: usize) {
        self.texts.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        self.texts.retain(keep);
    }

    fn bytes(&self) -> usize {
        self.texts.bytes()
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        self.texts.take(nulls)
    }
}
