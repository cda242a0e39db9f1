//! Declared tables: what a user wrote about the shape of the data, understood.

mod column_type;

pub use column_type::{ColumnType, UnknownType};
