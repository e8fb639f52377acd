//! The input: a file, standard input or an address, plain or packed.

use std::{
    error::Error,
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;
use registry::producers::Input;
use service::{Exit, Failure, ResultExt, Stop};

use crate::{
    checksum::{self, Sha256},
    http::{Fetch, HttpBody},
    place::Place,
    progress::Progress,
};

/// What a gzip file begins with, whatever its name.
const GZIP: &[u8] = b"\x1F\x8B";
/// How much is unpacked at a time.
const BUFFER: usize = 128 << 10;

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
    let raw: Input = match raw {
        Raw::Stream(stream) => stream,
        Raw::File(file) => {
            progress.expect_bytes(file.metadata().map_or(0, |about| about.len()));
            Box::new(progress.counted(file))
        }
    };
    unpack(raw).map_err(|error| {
        let exit = exit_of(&error);
        anyhow::Error::new(error).context(Failure::new(exit, format!("cannot read the input `{place}`")))
    })
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

fn unpack(mut raw: Input) -> io::Result<Input> {
    let mut head = vec![];
    raw.by_ref().take(GZIP.len() as u64).read_to_end(&mut head)?;
    let packed = head == GZIP;
    let whole = Cursor::new(head).chain(raw);
    if packed {
        Ok(Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, whole))))
    } else {
        Ok(Box::new(whole))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn check(bytes: Vec<u8>, expected: &str) {
        let mut text = String::new();
        unpack(Box::new(Cursor::new(bytes))).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_input_is_known_by_its_first_bytes() {
        check(vec![], "");
        check(b"a".to_vec(), "a");
        check(b"country,year".to_vec(), "country,year");
        check(packed("country,year"), "country,year");
        check([packed("two "), packed("members")].concat(), "two members");
    }

    #[test]
    fn what_reading_has_decided_counts() {
        let away = io::Error::other(Failure::new(Exit::Unavailable, "the server is away"));
        let error = stream::SourceError::Read { line: 7, source: away };
        assert_eq!(exit_of(&error), Exit::Unavailable);
        assert_eq!(exit_of(&stream::SourceError::Unusable("a column is missing".to_owned())), Exit::Input);
    }
}
