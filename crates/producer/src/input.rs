//! The input: a file, standard input or an address, plain or packed.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use registry::producers::Input;
use service::{Exit, Failure, ResultExt, Stop};

use crate::{
    checksum::{self, Sha256},
    decompress,
    http::HttpBody,
    location::Location,
    progress::Progress,
    raw::Raw,
};

/// Which input to open, and how to check it.
pub(crate) struct Wanted<'a> {
    /// Where it is.
    pub(crate) location: &'a Location,
    /// What its bytes must hash to, as they were published.
    pub(crate) sha256: Option<Sha256>,
    /// How long the server of an address may be unavailable at the start.
    pub(crate) wait: Duration,
}

/// Opens the input, checks it where that is wanted, and unpacks it; `progress` sees how far it is read.
///
/// # Errors
/// A failure that names the input: 65 when it is at fault, 69 when the server of an address is unavailable.
pub(crate) fn open(wanted: &Wanted<'_>, progress: &Progress, stop: &Stop) -> anyhow::Result<Input> {
    let location = wanted.location;
    let mut raw = match location {
        Location::Stdin => Raw::Stream(Box::new(io::stdin())),
        Location::File(path) => file(path, location)?,
        Location::Address(uri) => {
            let body = HttpBody::open(uri, wanted.wait, stop)?;
            if let Some(bytes) = body.length() {
                progress.expect_bytes(bytes);
            }
            Raw::Stream(Box::new(progress.counted(body)))
        }
    };
    if let Some(expected) = wanted.sha256 {
        raw = Raw::File(checksum::verified(raw, expected, location)?);
    }
    decompress::unpack(raw, progress, location)
}

/// The path of an input that may be followed.
///
/// # Errors
/// Exit 64 when it is not a file, or a packed one; 65 when it cannot be opened.
pub(crate) fn followed(wanted: &Wanted<'_>) -> anyhow::Result<PathBuf> {
    let refused = |why: &str| Err(Failure::new(Exit::Usage, format!("--follow {why}")).into());
    let Location::File(path) = wanted.location else { return refused("goes with files only") };
    if wanted.sha256.is_some() {
        return refused("does not go with --sha256: the file grows");
    }
    match file(path, wanted.location)? {
        Raw::File(file) if decompress::is_plain(&file, wanted.location)? => Ok(path.clone()),
        _ => refused("goes with plain files only, not with packed ones, pipes or devices"),
    }
}

fn file(path: &Path, location: &Location) -> anyhow::Result<Raw> {
    let file = File::open(path).or_exit(Exit::Input, || format!("cannot open the input `{location}`"))?;
    let about = file.metadata().or_exit(Exit::Input, || format!("cannot open the input `{location}`"))?;
    if about.is_dir() {
        return Err(Failure::new(Exit::Input, format!("the input `{location}` is a directory; name a file")).into());
    }
    // A pipe has a name too.
    Ok(if about.is_file() { Raw::File(file) } else { Raw::Stream(Box::new(file)) })
}
