//! The input: a file or standard input, plain or packed.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use registry::producers::Input;
use service::{Exit, Failure, ResultExt};

use crate::progress::Progress;

/// What a gzip file begins with, whatever its name.
const GZIP: &[u8] = b"\x1F\x8B";
/// How much is unpacked at a time.
const BUFFER: usize = 128 << 10;

/// Opens the input and unpacks it; `progress` sees how far it is read.
///
/// # Errors
/// A failure that ends with 65 and names the file.
pub(crate) fn open(path: &Path, progress: &Progress) -> anyhow::Result<Input> {
    let raw: Input = if is_stdin(path) {
        Box::new(io::stdin())
    } else {
        let name = path.display();
        let file = File::open(path).or_exit(Exit::Input, || format!("cannot open the input `{name}`"))?;
        let about = file.metadata().or_exit(Exit::Input, || format!("cannot open the input `{name}`"))?;
        if about.is_dir() {
            return Err(Failure::new(Exit::Input, format!("the input `{name}` is a directory; name a file")).into());
        }
        progress.expect_bytes(about.len());
        Box::new(progress.counted(file))
    };
    unpack(raw).with_context(|| Failure::new(Exit::Input, format!("cannot read the input `{}`", path.display())))
}

/// Whether the path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
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
}
