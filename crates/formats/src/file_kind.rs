//! Recognizes a file that has none of the columns wanted, by its first bytes.

/// The position of a mark, the mark, and the kind of file that has it there.
type Mark = (usize, &'static [u8], &'static str);

/// Formats that the producer does not unpack.
const PACKED: [Mark; 9] = [
    (0, b"7z\xBC\xAF\x27\x1C", "7-Zip"),
    (0, b"Rar!\x1A\x07", "RAR"),
    (0, b"\x04\x22\x4D\x18", "LZ4"),
    (0, b"\x1F\x9D", "compress (.Z)"),
    (0, b"LZIP", "lzip"),
    (0, b"\x89LZO\0\r\n\x1A\n", "lzop"),
    (0, b"\x5D\0\0", "LZMA"),
    (0, b"\xFF\x06\0\0sNaPpY", "Snappy"),
    (0, b"MSCF\0\0\0\0", "cabinet"),
];

/// Formats that the producer unpacks, once.
const TWICE: [Mark; 5] = [
    (0, b"\x1F\x8B", "gzip"),
    (0, b"\xFD7zXZ\0", "xz"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x28\xB5\x2F\xFD", "zstd"),
    (0, b"BZh", "bzip2"),
];

/// Other kinds of files, and what to do with them.
const OTHER: [Mark; 15] = [
    (257, b"ustar", "a tar archive; unpack it, and name one file"),
    (0, b"PAR1", "a Parquet file; export it as CSV"),
    (0, b"ORC", "an ORC file; export it as CSV"),
    (0, b"Obj\x01", "an Avro file; export it as CSV"),
    (0, b"ARROW1", "an Arrow file; export it as CSV"),
    (0, b"SQLite format 3\0", "a SQLite database; export it as CSV"),
    (8, b"DUCK", "a DuckDB database; export it as CSV"),
    (0, b"\x89HDF\r\n\x1A\n", "an HDF5 file; export it as CSV"),
    (0, b"PGDMP", "a dump of PostgreSQL; export it as CSV"),
    (0, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "an old Excel workbook, or a locked one; save its sheet as CSV UTF-8"),
    (0, b"{\\rtf", "an RTF document; save it as CSV UTF-8"),
    (0, b"%PDF-", "a PDF; export the table as CSV"),
    (0, b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file itself; run `git lfs pull`"),
    (0, b"/annex/objects/", "a pointer of git-annex, not the file itself; run `git annex get`"),
    (0, b"sep=", "preceded by Excel's line `sep=`; remove its first line"),
];

const WEB_PAGE: &str = "a web page, perhaps of a login; name the file's own address";
const XML: &str = "XML; export it as CSV";
const JSON: &str = "JSON; export it as CSV";
const ZEROS: &str = "it begins with zero bytes: it is damaged, or was not written yet; copy it again";
const NO_TEXT: &str =
    "it is not text: it is of another kind, or packed in a way that is not known; unpack it, and export it as CSV";

/// A sentence's worth of what a file is that begins with `head`, and what to do about it; `None` where it may be a table.
///
/// Some tables begin so too: this is called only for a file without the columns wanted.
pub(crate) fn of(head: &[u8]) -> Option<String> {
    let find = |marks: &[Mark]| {
        let found = marks.iter().find(|(at, mark, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
        found.map(|(_, _, what)| *what)
    };
    if let Some(packer) = find(&TWICE) {
        return Some(format!("it is packed twice, inside with {packer}; unpack it once"));
    }
    if let Some(packer) = find(&PACKED) {
        let read = "gzip, xz, zip, zstd or bzip2";
        return Some(format!("it is packed with {packer}; unpack it, or pack it with {read}"));
    }
    if let Some(what) = find(&OTHER).or_else(|| markup(head)) {
        return Some(format!("it is {what}"));
    }
    if let Some(encoding) = encoding(head) {
        return Some(format!("it is {encoding}; save it as UTF-8"));
    }
    match head {
        [0, ..] => Some(ZEROS.to_owned()),
        _ => first_line(head).iter().any(is_no_text).then(|| NO_TEXT.to_owned()),
    }
}

/// Formats that the first character shows.
fn markup(head: &[u8]) -> Option<&'static str> {
    let text = head.trim_ascii_start();
    let has = |tag: &str| text.windows(tag.len()).any(|part| part.eq_ignore_ascii_case(tag.as_bytes()));
    match text {
        [b'{' | b'[', ..] => Some(JSON),
        [b'<', ..] if ["<html", "<head", "<body", "<script"].iter().any(|tag| has(tag)) => Some(WEB_PAGE),
        [b'<', b'?' | b'!' | b'a'..=b'z' | b'A'..=b'Z', ..] => Some(XML),
        _ => None,
    }
}

/// The encoding of a text that is not UTF-8: by its byte order mark, or by the zeros next to its first letter.
fn encoding(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        [b' '..=b'~', 0, 0, 0, ..] | [0, 0, 0, b' '..=b'~', ..] => Some("UTF-32"),
        [b' '..=b'~', 0, ..] | [0, b' '..=b'~', ..] => Some("UTF-16"),
        _ => None,
    }
}

fn first_line(head: &[u8]) -> &[u8] {
    head.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

/// Whether a text has no such byte: a control character.
fn is_no_text(byte: &u8) -> bool {
    byte.is_ascii_control() && !byte.is_ascii_whitespace()
}
