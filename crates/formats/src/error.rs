//! Why an input cannot be read any further.

/// An input that cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not what is expected: an empty file, a missing column, a broken archive.
    #[error("{0}")]
    Unusable(String),
    /// Reading failed.
    #[error("line {line}: cannot read the input")]
    Read {
        /// The line that was being read, counted from 1.
        line: u64,
        /// What the operating system said.
        source: std::io::Error,
    },
}
