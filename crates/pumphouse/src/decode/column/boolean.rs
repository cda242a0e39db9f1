//! Bool: `true` and `false`, nothing that only resembles them.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use super::values::Kind;
use crate::decode::json::Reader;
use crate::decode::reject::Fault;

/// Booleans, a byte each until they become bits.
pub(super) struct Boolean;

impl Kind for Boolean {
    type Native = bool;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        match reader.peek() {
            b't' => reader.literal("true").map(|()| true),
            b'f' => reader.literal("false").map(|()| false),
            _ => Err(reader.misfit()),
        }
    }

    fn placeholder(&self) -> Self::Native {
        false
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.cmp(&right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
    }
}
