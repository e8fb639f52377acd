//! The input: a file, standard input or an address, plain or packed.

use std::{error::Error, fs::File, io, path::Path, time::Duration};

use registry::producers::Input;
use service::{Exit, Failure, ResultExt, Stop};

use crate::{
    checksum::{self, Sha256},
    http::{Fetch, HttpBody},
    packing,
    place::Place,
    progress::Progress,
};

/// Which input, and how sure one wants to be of it.
pub(crate) struct Wanted<'a> {
    /// Where it is.
    pub(crate) place: &'a Place,
    /// What its bytes must hash to, as they are published.
    pub(crate) sha256: Option<Sha256>,
    /// How long the server of an address may be away at the start.
    pub(crate) wait: Duration,
}

/// The input as it is published, perhaps packed.
pub(crate) enum Raw {
    /// It can be read twice.
    File(File),
    /// It comes once.
    Stream(Input),
}

/// Opens the input, checks it where that is wanted, and unpacks it; `progress` sees how far it is read.
///
/// # Errors
/// A failure that names the input: 65 when it is at fault, 69 when the server of an address is away.
pub(crate) fn open(wanted: &Wanted<'_>, progress: &Progress, stop: &Stop) -> anyhow::Result<Input> {
    let place = wanted.place;
    let mut raw = match place {
        Place::Stdin => Raw::Stream(Box::new(io::stdin())),
        Place::File(path) => file(path, place)?,
        Place::Address(uri) => {
            let body = HttpBody::open(Fetch::new(uri.clone(), wanted.wait, stop.clone())?)?;
            if let Some(bytes) = body.length() {
                progress.expect_bytes(bytes);
            }
            Raw::Stream(Box::new(progress.counted(body)))
        }
    };
    if let Some(expected) = wanted.sha256 {
        raw = Raw::File(checksum::verified(raw, expected, place)?);
    }
    packing::unpack(raw, progress, place)
}

fn file(path: &Path, place: &Place) -> anyhow::Result<Raw> {
    let file = File::open(path).or_exit(Exit::Input, || format!("cannot open the input `{place}`"))?;
    let about = file.metadata().or_exit(Exit::Input, || format!("cannot open the input `{place}`"))?;
    if about.is_dir() {
        return Err(Failure::new(Exit::Input, format!("the input `{place}` is a directory; name a file")).into());
    }
    // A pipe has a name too.
    Ok(if about.is_file() { Raw::File(file) } else { Raw::Stream(Box::new(file)) })
}

/// The exit code that an input that cannot be read deserves: the one that reading an address has already decided, or
/// that of an input at fault.
pub(crate) fn exit_of(error: &(dyn Error + 'static)) -> Exit {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let carried = chain.filter_map(|error| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Failure>());
    carried.map(Failure::exit).next().unwrap_or(Exit::Input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reading_has_decided_counts() {
        let away = io::Error::other(Failure::new(Exit::Unavailable, "the server is away"));
        let error = stream::SourceError::Read { line: 7, source: away };
        assert_eq!(exit_of(&error), Exit::Unavailable);
        assert_eq!(exit_of(&stream::SourceError::Unusable("a column is missing".to_owned())), Exit::Input);
    }
}
