//! Nested: in a record an array of objects, in the table an array for each element, all of one length: `n.a`, `n.b`.
//! Decides only how the one becomes the other; lists and tuples keep the values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait};
use arrow_schema::Field;
use pumphouse_core::schema::ColumnType;

/// The type of one object of a Nested.
pub(super) fn element(elements: &[(String, ColumnType)]) -> ColumnType {
    ColumnType::Tuple(elements.iter().map(|(name, of)| (Some(name.clone()), of.clone())).collect())
}

/// The name of the table's column for one element.
pub(super) fn column_name(nested: &str, element: &str) -> String {
    format!("{nested}.{element}")
}

/// A list for each field of the objects in a list of objects. Copies no values.
pub(super) fn parts(rows: &ArrayRef) -> Vec<(String, ArrayRef)> {
    match rows.as_list_opt::<i32>() {
        Some(rows) => lists(rows),
        None => lists(rows.as_list::<i64>()),
    }
}

fn lists<O: OffsetSizeTrait>(rows: &GenericListArray<O>) -> Vec<(String, ArrayRef)> {
    let objects = rows.values().as_struct();
    let parts = objects.fields().iter().zip(objects.columns());
    parts
        .map(|(field, values)| {
            let item = Field::new("item", values.data_type().clone(), field.is_nullable());
            let list =
                GenericListArray::new(Arc::new(item), rows.offsets().clone(), Arc::clone(values), None);
            (field.name().clone(), Arc::new(list) as ArrayRef)
        })
        .collect()
}
