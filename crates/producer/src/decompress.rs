//! Unpacking: gzip, xz, zip, zstd and bzip2 are known by their first bytes, whatever the input's name.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek},
};

use anyhow::anyhow;
use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use liblzma::{bufread::XzDecoder, stream::Stream};
use registry::producers::Input;
use service::{Exit, Failure, ResultExt};
use zip::ZipArchive;

use crate::{
    location::Location,
    members::{Members, ZstdFrame},
    progress::Progress,
    raw::{Raw, exit_of},
    spool,
};

/// How much is unpacked at a time.
const BUFFER: usize = 128 << 10;
/// The most memory that unpacking xz may take, bytes: twice what `xz -9` asks for. A header may ask for gigabytes.
const XZ_MEMORY: u64 = 128 << 20;
/// So many files of an archive are named when it holds too many.
const NAMED_FILES: usize = 5;
/// Files that an office program has in its archives, and what it is then.
const OFFICE: [(&str, &str); 5] = [
    ("xl/workbook.xml", "an Excel workbook; save its sheet as CSV UTF-8"),
    ("xl/workbook.bin", "an Excel workbook; save its sheet as CSV UTF-8"),
    ("word/document.xml", "a Word document; save the table as CSV UTF-8"),
    ("META-INF/manifest.xml", "an OpenDocument file; save its sheet as CSV UTF-8"),
    ("Index/Document.iwa", "an Apple Numbers file; export it as CSV UTF-8"),
];

/// The compression format of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Xz,
    Zip,
    Zstd,
    Bzip2,
}

impl Format {
    /// How many first bytes identify a format.
    const HEAD: u64 = 10;

    /// The format that the first bytes show, at most [`Format::HEAD`].
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1F, 0x8B, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The second is an archive without files.
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            // The second is a frame to be skipped, which some programs put in front.
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            // The second is a file of nothing.
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y', ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, b'E', b'8', b'P', 0x90, ..] => Self::Bzip2,
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
pub(crate) fn unpack(raw: Raw, progress: &Progress, location: &Location) -> anyhow::Result<Input> {
    match raw {
        Raw::File(mut file) => {
            progress.expect_bytes(file.metadata().map_or(0, |about| about.len()));
            let format = Format::of(&or_exit(head(&mut file), location)?);
            or_exit(file.rewind(), location)?;
            if format == Format::Zip {
                return only_file(progress.counted(file), location);
            }
            or_exit(stream(format, Box::new(progress.counted(file))), location)
        }
        Raw::Stream(mut input) => {
            let head = or_exit(head(&mut input), location)?;
            let format = Format::of(&head);
            let mut whole = Cursor::new(head).chain(input);
            if format == Format::Zip {
                return only_file(kept(&mut whole, location)?, location);
            }
            or_exit(stream(format, Box::new(whole)), location)
        }
    }
}

/// Whether a file is plain, by its first bytes.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn is_plain(mut file: &File, location: &Location) -> anyhow::Result<bool> {
    Ok(Format::of(&or_exit(head(&mut file), location)?) == Format::Plain)
}

fn or_exit<T>(result: io::Result<T>, location: &Location) -> anyhow::Result<T> {
    result.map_err(|error| {
        let exit = exit_of(&error);
        anyhow::Error::new(error).context(Failure::new(exit, format!("cannot read the input `{location}`")))
    })
}

fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = vec![];
    input.by_ref().take(Format::HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn kept(input: &mut dyn Read, location: &Location) -> anyhow::Result<File> {
    let mut file = spool::nameless()?;
    spool::copy(input, &mut file, location, |_| ())?;
    or_exit(file.rewind(), location)?;
    Ok(file)
}

fn stream(format: Format, input: Input) -> io::Result<Input> {
    let input = BufReader::with_capacity(BUFFER, input);
    Ok(match format {
        Format::Gzip => Box::new(Members::<GzDecoder<_>>::new(input)?),
        Format::Zstd => Box::new(Members::<ZstdFrame>::new(input)?),
        Format::Bzip2 => Box::new(Members::<BzDecoder<_>>::new(input)?),
        Format::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        Format::Plain | Format::Zip => input.into_inner(),
    })
}

/// Unpacks the one file of a zip archive.
fn only_file<R: Read + Seek + Send + 'static>(archive: R, location: &Location) -> anyhow::Result<Input> {
    let unusable = || format!("cannot use the input `{location}`");
    let damaged = || format!("cannot use the zip archive `{location}`");
    let archive = ZipArchive::new(BufReader::with_capacity(BUFFER, archive)).or_exit(Exit::Input, damaged)?;
    let names = archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned());
    let (index, name) = only_name(names).map_err(|why| anyhow!(why)).or_exit(Exit::Input, unusable)?;
    tracing::info!("reading {name} of the zip archive {location}");
    // A file that is being unpacked borrows its archive. There is one input a run: it may stay until the program ends.
    let archive = Box::leak(Box::new(archive));
    Ok(Box::new(archive.by_index(index).or_exit(Exit::Input, damaged)?))
}

/// The index and the name of the only file among names of an archive; folders, and what macOS adds to files, do not
/// count.
fn only_name(names: impl Iterator<Item = String>) -> Result<(usize, String), String> {
    let counts = |name: &str| !name.ends_with('/') && !name.starts_with("__MACOSX/");
    let mut files: Vec<(usize, String)> = names.enumerate().filter(|(_, name)| counts(name)).collect();
    if let Some((_, what)) = OFFICE.iter().find(|(own, _)| files.iter().any(|(_, name)| name == own)) {
        return Err(format!("it is {what}"));
    }
    match files.len() {
        0 => Err("it is a zip archive that holds no file".to_owned()),
        1 => Ok(files.remove(0)),
        count => {
            let named: Vec<String> = files.into_iter().take(NAMED_FILES).map(|(_, name)| name).collect();
            let more = if count > NAMED_FILES { ", …" } else { "" };
            Err(format!(
                "it is a zip archive that holds {count} files ({}{more}); unpack it, and name one",
                named.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests;
