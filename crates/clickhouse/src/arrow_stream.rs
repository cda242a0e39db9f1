//! A record batch as the body of an insert: Arrow's stream format, compressed on the way out, so that the
//! uncompressed bytes never exist as a whole. Knows nothing of tables or servers.

use std::io::{self, Read, Write};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use bytes::Bytes;

/// The level of Zstandard: half the bytes of LZ4 on repetitive columns; higher levels cost more than they save.
const ZSTD_LEVEL: i32 = 1;

/// How the body of an insert is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    None,
    /// One LZ4 frame.
    #[default]
    Lz4,
    /// Zstandard, level 1.
    Zstd,
}

impl Compression {
    /// The value of `Content-Encoding`, or none.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Lz4 => Some("lz4"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// What is sent as an insert: the bytes and the compression they are in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Body {
    /// The compressed stream.
    pub bytes: Bytes,
    /// Its compression.
    pub compression: Compression,
}

/// A batch could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Arrow refused the columns.
    #[error("the columns can't be written as an Arrow stream: {0}")]
    Arrow(#[from] ArrowError),
    /// The compressor failed.
    #[error("the batch can't be compressed: {0}")]
    Compress(#[from] io::Error),
}

/// Encodes one record batch as one compressed Arrow stream.
///
/// One batch in one stream is one block on the server, and one block is what makes a token cover the insert
/// as a whole.
///
/// # Errors
/// When Arrow refuses the columns, or the compressor fails.
pub fn encode(batch: &RecordBatch, compression: Compression) -> Result<Body, EncodeError> {
    let bytes = match compression {
        Compression::None => write_stream(batch, Vec::new())?,
        Compression::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max256KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            write_stream(batch, encoder)?.finish().map_err(io::Error::other)?
        }
        Compression::Zstd => {
            write_stream(batch, zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?)?.finish()?
        }
    };
    Ok(Body { bytes: bytes.into(), compression })
}

/// The record batch that [`encode`] wrote.
///
/// # Errors
/// When the bytes are not such a body.
pub fn decode(body: &Body) -> Result<RecordBatch, EncodeError> {
    match body.compression {
        Compression::None => read_stream(&body.bytes[..]),
        Compression::Lz4 => read_stream(lz4_flex::frame::FrameDecoder::new(&body.bytes[..])),
        Compression::Zstd => read_stream(zstd::stream::Decoder::new(&body.bytes[..])?),
    }
}

fn read_stream(stream: impl Read) -> Result<RecordBatch, EncodeError> {
    let mut reader = StreamReader::try_new(stream, None)?;
    let schema = reader.schema();
    Ok(reader.next().transpose()?.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}

fn write_stream<W: Write>(batch: &RecordBatch, target: W) -> Result<W, EncodeError> {
    let mut writer = StreamWriter::try_new(target, &batch.schema())?;
    writer.write(batch)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow_array::types::Int32Type;
    use arrow_array::{DictionaryArray, Int64Array, RecordBatch};

    fn batch(rows: i64) -> RecordBatch {
        let service: DictionaryArray<Int32Type> =
            (0..rows).map(|row| if row % 2 == 0 { "api" } else { "web" }).collect();
        RecordBatch::try_from_iter([
            ("id", Arc::new((0..rows).collect::<Int64Array>()) as _),
            ("service", Arc::new(service) as _),
        ])
        .expect("columns of one length")
    }

    #[test]
    fn a_batch_comes_back_as_one_batch_under_every_compression() {
        let batch = batch(10_000);
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            let body = encode(&batch, compression).expect("encodes");
            assert_eq!(decode(&body).expect("a stream"), batch, "{compression:?}");
        }
    }

    #[test]
    fn a_batch_without_rows_is_still_a_whole_stream() {
        let body = encode(&batch(0), Compression::Lz4).expect("encodes");
        assert_eq!(decode(&body).expect("a stream"), batch(0));
    }
}
