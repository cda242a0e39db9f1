//! The fields of one record that no column reads, as the text of one JSON object. Copies bytes as the record has them;
//! where they go, and whether ClickHouse keeps them, is not its business.

/// What is left of one record.
pub(super) struct Rest {
    /// The column that keeps it.
    pub(super) column: usize,
    text: Vec<u8>,
}

impl Rest {
    /// Nothing, for a column.
    pub(super) fn new(column: usize) -> Self {
        Self { column, text: Vec::new() }
    }

    /// Forgets the record before and begins the object.
    pub(super) fn begin(&mut self) {
        self.text.clear();
        self.text.push(b'{');
    }

    /// Adds a field: its key, colon and value as they stand.
    pub(super) fn keep(&mut self, field: &[u8]) {
        self.separate();
        self.text.extend_from_slice(field);
    }

    /// Begins an object that is read in part, given its key and colon; what comes is inside it until it is closed
    /// with the number returned.
    pub(super) fn open(&mut self, key: &[u8]) -> usize {
        let before = self.text.len();
        self.separate();
        self.text.extend_from_slice(key);
        self.text.push(b'{');
        before
    }

    /// Ends the object; one of which nothing is left goes away.
    pub(super) fn close(&mut self, before: usize) {
        if self.text.last() == Some(&b'{') {
            self.text.truncate(before);
        } else {
            self.text.push(b'}');
        }
    }

    /// Ends the record's object and shows it.
    pub(super) fn end(&mut self) -> &[u8] {
        self.text.push(b'}');
        &self.text
    }

    /// A comma, unless the field is the first of its object: no value and no key ends with a brace that opens.
    fn separate(&mut self) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
    }
}
