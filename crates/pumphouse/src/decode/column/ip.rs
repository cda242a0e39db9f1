//! `IPv4` and `IPv6`: addresses as texts. An IPv4 address is four numbers without leading zeros, which some
//! read as octal; in an `IPv6` column it is the mapped one, `::ffff:192.0.2.1`.

use std::cmp::Ordering;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, UInt32Array};
use arrow_buffer::{Buffer, NullBuffer};

use super::values::Kind;
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
pub(super) struct AddressOf<A>(PhantomData<A>);

impl<A> Default for AddressOf<A> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<A: Address> Kind for AddressOf<A> {
    type Native = A;

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Self::Native, Fault> {
        if reader.peek() != b'"' {
            return Err(reader.misfit());
        }
        let text = reader.text()?;
        let address = std::str::from_utf8(text).ok().and_then(A::in_text);
        address.ok_or_else(|| Fault::new(Code::NotAnAddress, format!("{} that is none", text_found(text))))
    }

    fn placeholder(&self) -> Self::Native {
        A::UNSPECIFIED
    }

    fn order(left: Self::Native, right: Self::Native) -> Ordering {
        left.cmp(&right)
    }

    fn array(&self, values: Vec<Self::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        A::array(values, nulls)
    }
}
