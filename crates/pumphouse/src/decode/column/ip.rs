//! `IPv4` and `IPv6`: addresses as texts. An IPv4 address is four numbers without leading zeros, which some
//! read as octal; in an `IPv6` column it is the mapped one, `::ffff:192.0.2.1`.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, UInt32Array};
use arrow_buffer::{Buffer, NullBuffer};

use super::{Store, retain_rows, take_values};
use crate::decode::json::Reader;
use crate::decode::reject::{Code, Fault, text_found};

/// One of the two kinds of address.
pub(super) trait Address: Copy + Ord + Send + Sized {
    /// The address that stands under a null.
    const UNSPECIFIED: Self;
    /// The address that a text says.
    fn in_text(text: &str) -> Option<Self>;
    /// The Arrow form.
    fn array(addresses: Vec<Self>, nulls: Option<NullBuffer>) -> ArrayRef;
}

impl Address for Ipv4Addr {
    const UNSPECIFIED: Self = Self::UNSPECIFIED;

    fn in_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn array(addresses: Vec<Self>, nulls: Option<NullBuffer>) -> ArrayRef {
        let numbers: Vec<u32> = addresses.into_iter().map(u32::from).collect();
        Arc::new(UInt32Array::new(numbers.into(), nulls))
    }
}

impl Address for Ipv6Addr {
    const UNSPECIFIED: Self = Self::UNSPECIFIED;

    fn in_text(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(|short| short.to_ipv6_mapped()))
    }

    fn array(addresses: Vec<Self>, nulls: Option<NullBuffer>) -> ArrayRef {
        let bytes: Vec<u8> = addresses.iter().flat_map(Self::octets).collect();
        Arc::new(FixedSizeBinaryArray::new(16, Buffer::from(bytes), nulls))
    }
}

/// Addresses of one kind.
pub(super) struct Addresses<A> {
    values: Vec<A>,
}

impl<A> Default for Addresses<A> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<A: Address> Store for Addresses<A> {
    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let text = reader.text()?;
        let Some(address) = std::str::from_utf8(text).ok().and_then(A::in_text) else {
            return Err(Fault::new(Code::NotAnAddress, format!("{} that is none", text_found(text))));
        };
        self.values.push(address);
        Ok(())
    }

    fn push_placeholder(&mut self) {
        self.values.push(A::UNSPECIFIED);
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
    }

    fn retain(&mut self, keep: &[bool]) {
        retain_rows(&mut self.values, keep);
    }

    fn order(&self, left: usize, right: usize) -> Ordering {
        self.values[left].cmp(&self.values[right])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        A::array(take_values(&mut self.values), nulls)
    }
}
