//! Unpacking: gzip, xz and zip are known by their first bytes, whatever the input's name.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek},
};

use anyhow::anyhow;
use flate2::bufread::MultiGzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};
use registry::producers::Input;
use service::{Exit, Failure, ResultExt};
use zip::ZipArchive;

use crate::{
    input::{Raw, exit_of},
    keep,
    place::Place,
    progress::Progress,
};

/// How much is unpacked at a time.
const BUFFER: usize = 128 << 10;
/// The most memory that unpacking xz may take, bytes: twice what `xz -9` asks for. A header may ask for gigabytes.
const XZ_MEMORY: u64 = 128 << 20;
/// So many files of an archive are named when it holds too many.
const NAMED_FILES: usize = 5;

/// How an input is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Xz,
    Zip,
}

impl Packing {
    /// As many bytes as tell.
    const HEAD: u64 = 6;

    /// Goes by the first bytes, at most [`Packing::HEAD`].
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The second is an archive without files.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            _ => Self::Plain,
        }
    }
}

/// Unpacks the input; `progress` sees how far a file is read.
///
/// A zip archive has its contents at its end: where it cannot be read twice, it is kept in a temporary file first.
///
/// # Errors
/// A failure that names the input: 65 when it is at fault, 64 when there is no room for a temporary file.
pub(crate) fn unpack(raw: Raw, progress: &Progress, place: &Place) -> anyhow::Result<Input> {
    match raw {
        Raw::File(mut file) => {
            progress.expect_bytes(file.metadata().map_or(0, |about| about.len()));
            let packing = Packing::of(&or_exit(head(&mut file), place)?);
            or_exit(file.rewind(), place)?;
            if packing == Packing::Zip {
                return only_file(progress.counted(file), place);
            }
            or_exit(stream(packing, Box::new(progress.counted(file))), place)
        }
        Raw::Stream(mut input) => {
            let head = or_exit(head(&mut input), place)?;
            let packing = Packing::of(&head);
            let mut whole = Cursor::new(head).chain(input);
            if packing == Packing::Zip {
                return only_file(kept(&mut whole, place)?, place);
            }
            or_exit(stream(packing, Box::new(whole)), place)
        }
    }
}

fn or_exit<T>(result: io::Result<T>, place: &Place) -> anyhow::Result<T> {
    result.map_err(|error| {
        let exit = exit_of(&error);
        anyhow::Error::new(error).context(Failure::new(exit, format!("cannot read the input `{place}`")))
    })
}

fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![];
    input.by_ref().take(Packing::HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn kept(input: &mut dyn Read, place: &Place) -> anyhow::Result<File> {
    let mut file = keep::nameless()?;
    keep::copy(input, &mut file, place, |_| ())?;
    or_exit(file.rewind(), place)?;
    Ok(file)
}

fn stream(packing: Packing, input: Input) -> io::Result<Input> {
    let input = BufReader::with_capacity(BUFFER, input);
    Ok(match packing {
        Packing::Gzip => Box::new(MultiGzDecoder::new(input)),
        Packing::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        Packing::Plain | Packing::Zip => input.into_inner(),
    })
}

/// Unpacks the one file of a zip archive.
fn only_file<R: Read + Seek + Send + 'static>(archive: R, place: &Place) -> anyhow::Result<Input> {
    let unusable = || format!("cannot use the zip archive `{place}`");
    let archive = ZipArchive::new(BufReader::with_capacity(BUFFER, archive)).or_exit(Exit::Input, unusable)?;
    let names = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned());
    let (index, name) = only_name(names).map_err(|why| anyhow!(why)).or_exit(Exit::Input, unusable)?;
    tracing::info!("reading {name} of the zip archive {place}");
    // A file that is being unpacked borrows its archive. There is one input a run: it may live as long as the program.
    let archive = Box::leak(Box::new(archive));
    Ok(Box::new(archive.by_index(index).or_exit(Exit::Input, unusable)?))
}

/// The place and the name of the only file among names of an archive; folders, and what macOS puts beside files, do
/// not count.
fn only_name(names: impl Iterator<Item = String>) -> Result<(usize, String), String> {
    let counts = |name: &str| !name.ends_with('/') && !name.starts_with("__MACOSX/");
    let mut files: Vec<(usize, String)> = names.enumerate().filter(|(_, name)| counts(name)).collect();
    match files.len() {
        0 => Err("it holds no file".to_owned()),
        1 => Ok(files.remove(0)),
        count => {
            let named: Vec<String> = files.into_iter().take(NAMED_FILES).map(|(_, name)| name).collect();
            let more = if count > NAMED_FILES { ", …" } else { "" };
            Err(format!("it holds {count} files ({}{more}); unpack it, and name one", named.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use liblzma::write::XzEncoder;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// What is read of the input, once as a file and once as a stream: its text, or the exit code and the reason.
    fn check(bytes: &[u8], expected: Result<&str, (Exit, &str)>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        for raw in [Raw::File(file), Raw::Stream(Box::new(Cursor::new(bytes.to_vec())))] {
            let mut text = String::new();
            let unpacked = unpack(raw, &Progress::start(), &Place::Stdin);
            let read = unpacked.and_then(|mut input| or_exit(input.read_to_string(&mut text), &Place::Stdin));
            match (read, expected) {
                (Ok(_), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err((exit, reason))) => {
                    assert_eq!(service::exit::exit_of(&error), exit);
                    assert!(format!("{error:#}").contains(reason), "{error:#}");
                }
                (read, _) => panic!("{read:?} {text:?} where {expected:?} is expected"),
            }
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(text: &str) -> Vec<u8> {
        let mut encoder = XzEncoder::new(vec![], 0);
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn zip(files: &[(&str, &str)], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(vec![]));
        for (name, text) in files {
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn packed_input_is_known_by_its_first_bytes() {
        for plain in ["", "a", "PK", "Date;Time"] {
            check(plain.as_bytes(), Ok(plain));
            check(&gzip(plain), Ok(plain));
            check(&xz(plain), Ok(plain));
            for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
                check(&zip(&[("household.txt", plain)], method), Ok(plain));
            }
        }
    }

    #[test]
    fn what_was_packed_in_pieces_is_read_whole() {
        check(&[gzip("two "), gzip("members")].concat(), Ok("two members"));
        check(&[xz("two "), xz("streams")].concat(), Ok("two streams"));
    }

    #[test]
    fn an_archive_holds_one_file() {
        let zip = |files: &[(&str, &str)]| zip(files, CompressionMethod::Deflated);
        let fault = |reason| Err((Exit::Input, reason));
        check(&zip(&[("__MACOSX/._a.txt", "x"), ("folder/", ""), ("folder/a.txt", "a")]), Ok("a"));
        check(&zip(&[]), fault("cannot use the zip archive `-`: it holds no file"));
        let two = [("b.txt", "b"), ("a.txt", "a")];
        check(&zip(&two), fault("it holds 2 files (b.txt, a.txt); unpack it, and name one"));
        let many = ["a", "b", "c", "d", "e", "f"].map(|name| (name, ""));
        check(&zip(&many), fault("it holds 6 files (a, b, c, d, e, …); unpack it, and name one"));
    }

    #[test]
    fn damage_is_the_inputs_fault() {
        let text = "17:24:00;4.216;".repeat(1_000);
        for packed in [gzip(&text), xz(&text), zip(&[("a", &text)], CompressionMethod::Deflated)] {
            let mut wrong = packed.clone();
            wrong[packed.len() / 2] ^= 0x55;
            for damaged in [&packed[..packed.len() / 2], &wrong] {
                check(damaged, Err((Exit::Input, "`-`")));
            }
        }
    }

    #[test]
    fn xz_gets_no_more_memory_than_it_may_have() {
        // The header of the first block: its size, flags, LZMA2, one byte of properties (the dictionary), CRC-32.
        let mut packed = xz("small");
        let header = 12..12 + usize::from(packed[12]) * 4;
        packed[16] = 34;
        let mut crc = flate2::Crc::new();
        crc.update(&packed[header.clone()]);
        packed[header.end..header.end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        check(&packed, Err((Exit::Input, "memory")));
    }
}
