//! Made files.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
};

use anyhow::Context;

/// Writes a made file, unless it exists; it gets its name only when it is complete.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn made(
    path: PathBuf,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> anyhow::Result<PathBuf> {
    if path.exists() {
        return Ok(path);
    }
    eprintln!("making {}", path.display());
    let unfinished = path.with_extension("new");
    let work = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
        write(&mut file)?;
        file.flush()
    };
    work().with_context(|| format!("cannot write {}", unfinished.display()))?;
    std::fs::rename(&unfinished, &path)?;
    Ok(path)
}
