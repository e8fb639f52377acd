//! Reads a file that may be compressed, as the producer does: by its first bytes, whatever its name.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, bail};
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use zip::ZipArchive;

/// How much is read at a time.
const BUFFER: usize = 128 << 10;

/// Opens a file, plain or compressed with gzip, xz or zip, and hands what it holds to `work`.
///
/// # Errors
/// When it cannot be read, or is an archive of another number of files than one; and what `work` says.
pub fn read<T>(path: &Path, work: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
    match file.fill_buf()? {
        [0x1F, 0x8B, ..] => work(&mut MultiGzDecoder::new(file)),
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => work(&mut XzDecoder::new_multi_decoder(file)),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => {
            let mut archive = ZipArchive::new(file)?;
            let only = only_file(&archive)?;
            work(&mut archive.by_index(only)?)
        }
        _ => work(&mut file),
    }
}

/// The index of an archive's only file; folders, and what macOS puts next to files, do not count.
fn only_file(archive: &ZipArchive<BufReader<File>>) -> anyhow::Result<usize> {
    let names = archive.file_names_raw().map(String::from_utf8_lossy).enumerate();
    let mut files = names.filter(|(_, name)| !name.ends_with('/') && !name.starts_with("__MACOSX/"));
    let (index, _) = files.next().context("the archive holds no file")?;
    if files.next().is_some() {
        bail!("the archive holds more than one file");
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use liblzma::write::XzEncoder;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// What is read of these bytes, or why they cannot be.
    fn check(name: &str, bytes: &[u8], expected: Result<&str, &str>) {
        let path = std::env::temp_dir().join(format!("unpacked-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let text = read(&path, |file| {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        });
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.as_deref().map_err(ToString::to_string), expected.map_err(str::to_owned), "{name}");
    }

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(std::io::Cursor::new(vec![]));
        for (name, text) in files {
            archive.start_file(*name, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn packed_or_not_the_same_is_read() {
        let text = "country,year\nValdris,1990\n";
        let (mut gz, mut xz) = (GzEncoder::new(vec![], Compression::fast()), XzEncoder::new(vec![], 0));
        gz.write_all(text.as_bytes()).unwrap();
        xz.write_all(text.as_bytes()).unwrap();
        check("plain", text.as_bytes(), Ok(text));
        check("gz", &gz.finish().unwrap(), Ok(text));
        check("xz", &xz.finish().unwrap(), Ok(text));
        check("zip", &archive(&[("folder/", ""), ("folder/a.txt", text), ("__MACOSX/a.txt", "x")]), Ok(text));
        check("empty", b"", Ok(""));
    }

    #[test]
    fn an_archive_holds_one_file() {
        check("none", &archive(&[]), Err("the archive holds no file"));
        check("two", &archive(&[("a", ""), ("b", "")]), Err("the archive holds more than one file"));
    }
}
