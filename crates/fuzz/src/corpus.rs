//! The stored inputs that mutation begins with.

use std::{fs, io, path::Path, sync::Arc};

/// A folder's inputs, each with one oddity that its file name describes, in the order of their names.
#[derive(Clone, Debug)]
pub struct Corpus(Arc<[Vec<u8>]>);

impl Corpus {
    /// Reads a folder of `corpus/`.
    ///
    /// # Errors
    /// When it cannot be read, or holds nothing.
    pub fn load(folder: &str) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(folder);
        let mut files = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.sort_unstable();
        if files.is_empty() {
            return Err(io::Error::other(format!("{} is empty", folder.display())));
        }
        files.iter().map(fs::read).collect::<io::Result<Vec<_>>>().map(|entries| Self(entries.into()))
    }

    /// Both, one behind the other.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.iter().chain(other.iter()).map(<[u8]>::to_vec).collect())
    }

    /// The inputs as they are stored.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The inputs as they are stored; there is one at least.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.0
    }
}
