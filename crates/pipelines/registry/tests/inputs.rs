//! What is said of an input that a pipeline cannot read, and which odd ones are read: bytes and a sentence.

use std::io::Cursor;

use clap::Command;
use registry::{
    pipeline_arg::Entry,
    producers::{self, Producer},
};
use stream::{Outgoing, RowOutcome};

const EMISSIONS: &str = "country,year,iso_code,population,gdp,co2,co2_per_capita";
const ENERGY: &str = "Date;Time;Global_active_power;Global_reactive_power;Voltage;Global_intensity;Sub_metering_1;Sub_metering_2;Sub_metering_3";

const IOT: &str = "time,device_id,device_type,value,unit,quality_score,is_anomaly";

fn rows(pipeline: &str) -> [&'static str; 2] {
    match pipeline {
        "emissions" => [EMISSIONS, "Norland,2001,NRL,1000,2000,3,4"],
        "iot" => [IOT, "2026-01-01T00:00:00Z,TEMP-001,temperature,22.31,°C,97,false"],
        "sensors" => ["sensor_id,timestamp,temperature", "7,1767225600,21.5"],
        _ => [ENERGY, "16/12/2006;17:24:00;4.216;0.418;234.84;18.4;0;1;17"],
    }
}

/// How many rows are sent of it, or why it cannot be used.
fn read(producer: &Producer, bytes: &[u8]) -> Result<usize, String> {
    let options = producer.augment(Command::new("producer")).get_matches_from(["producer"]);
    let source = producer.source(Box::new(Cursor::new(bytes.to_vec())), &options);
    let mut source = source.map_err(|error| format!("{error:#}"))?;
    let (mut message, mut sent) = (Outgoing::default(), 0);
    while let Some(row) = source.next(&mut message).map_err(|error| error.to_string())? {
        assert_eq!(row, RowOutcome::Send, "line {}", source.line());
        sent += 1;
    }
    Ok(sent)
}

/// The same for every pipeline.
fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    for producer in producers::all() {
        assert_eq!(read(&producer, bytes.as_ref()), Err(expected.to_owned()), "{}", producer.name);
    }
}

/// A valid file of each pipeline, changed, is read all the same.
fn check_read(what: &str, change: impl Fn([&str; 2]) -> Vec<u8>) {
    for producer in producers::all() {
        assert_eq!(read(&producer, &change(rows(producer.name))), Ok(1), "{what}, {}", producer.name);
    }
}

/// A valid file of each pipeline, changed, cannot be read.
fn check_changed(expected: &str, change: impl Fn([&str; 2]) -> Vec<u8>) {
    for producer in producers::all() {
        assert_eq!(read(&producer, &change(rows(producer.name))), Err(expected.to_owned()), "{}", producer.name);
    }
}

fn lines(rows: [&str; 2], end: &str) -> Vec<u8> {
    rows.map(|row| format!("{row}{end}")).concat().into_bytes()
}

#[test]
fn what_can_be_read_safely_is_read() {
    check_read("LF", |rows| lines(rows, "\n"));
    check_read("CRLF", |rows| lines(rows, "\r\n"));
    check_read("CR twice and LF", |rows| lines(rows, "\r\r\n"));
    check_read("no last line end", |rows| rows.join("\n").into_bytes());
    check_read("blank lines in front", |rows| [b"\n\r\n".to_vec(), lines(rows, "\n")].concat());
    check_read("two byte order marks", |rows| ["\u{feff}\u{feff}".as_bytes(), &lines(rows, "\n")].concat());
    check_read("three, and one behind a blank line", |rows| {
        ["\u{feff}\u{feff}\u{feff}\n\u{feff}".as_bytes(), &lines(rows, "\n")].concat()
    });
    check_read("upper case", |[header, row]| lines([&header.to_uppercase(), row], "\n"));
    check_read("lower case", |[header, row]| lines([&header.to_lowercase(), row], "\n"));
    for delimiter in [",", ";", "\t", "|"] {
        let parted = |row: &str| row.replace([',', ';'], delimiter);
        check_read(delimiter, |[header, row]| lines([&parted(header), &parted(row)], "\n"));
        let spaced = |header: &str| parted(header).replace(delimiter, &format!(" {delimiter}\u{a0}"));
        check_read("blanks", |[header, row]| lines([&spaced(header), &parted(row)], "\n"));
        let quoted = |row: &str| format!("\"{}\"", parted(row).replace(delimiter, &format!("\"{delimiter}\"")));
        check_read("quotes", |rows| lines(rows.map(quoted).each_ref().map(String::as_str), "\n"));
    }
}

#[test]
fn a_name_in_other_letters_counts_only_where_none_is_exact() {
    check_read("a further column", |[header, row]| {
        let delimiter = if header.contains(';') { ';' } else { ',' };
        let names = header.split(delimiter).map(str::to_uppercase).collect::<Vec<_>>().join(&delimiter.to_string());
        lines([&format!("{header}{delimiter}{names}"), &format!("{row}{delimiter}{row}")], "\n")
    });
}

#[test]
fn a_packed_file_is_named() {
    for (bytes, by) in [
        (&b"7z\xBC\xAF\x27\x1C\0\x04"[..], "7-Zip"),
        (b"Rar!\x1A\x07\x01\0", "RAR"),
        (b"\x04\x22\x4D\x18\x64\x40", "LZ4"),
        (b"\x1F\x9D\x90country", "compress (.Z)"),
        (b"LZIP\x01\x0C", "lzip"),
        (b"\x89LZO\0\r\n\x1A\n", "lzop"),
        (b"\x5D\0\0\x80\0\xFF\xFF", "LZMA"),
        (b"\xFF\x06\0\0sNaPpY", "Snappy"),
    ] {
        check(bytes, &format!("it is packed with {by}; unpack it, or pack it with gzip, xz, zip, zstd or bzip2"));
    }
    for (bytes, by) in [
        (&b"\x1F\x8B\x08\0"[..], "gzip"),
        (b"\xFD7zXZ\0", "xz"),
        (b"PK\x03\x04\x14\0", "zip"),
        (b"\x28\xB5\x2F\xFD\x04", "zstd"),
        (b"BZh91AY&SY", "bzip2"),
    ] {
        check(bytes, &format!("it is packed twice, inside with {by}; unpack it once"));
    }
    let tar = [&b"folder/data.csv"[..], &[0; 242], b"ustar\x0000", &[0; 247], EMISSIONS.as_bytes(), b"\n"].concat();
    check(tar, "it is a tar archive; unpack it, and name one file");
}

#[test]
fn a_file_of_another_kind_is_named() {
    for (bytes, what) in [
        (&b"PAR1\x15\x04"[..], "a Parquet file; export it as CSV"),
        (b"ORC\x0A\x0B", "an ORC file; export it as CSV"),
        (b"Obj\x01\x04", "an Avro file; export it as CSV"),
        (b"ARROW1\0\0", "an Arrow file; export it as CSV"),
        (b"SQLite format 3\0\x10\0", "a SQLite database; export it as CSV"),
        (b"\x89HDF\r\n\x1A\n", "an HDF5 file; export it as CSV"),
        (b"PGDMP\x01\x0E", "a dump of PostgreSQL; export it as CSV"),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0", "an old Excel workbook, or a locked one; save its sheet as CSV UTF-8"),
        (b"{\\rtf1\\ansi", "an RTF document; save it as CSV UTF-8"),
        (b"%PDF-1.7\n%\xE2\xE3\r\n", "a PDF; export the table as CSV"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 14000000\n",
            "a pointer of Git LFS, not the file itself; run `git lfs pull`",
        ),
        (b"/annex/objects/SHA256E-s14--4d7a.csv\n", "a pointer of git-annex, not the file itself; run `git annex get`"),
        (
            b"<!DOCTYPE html>\n<html><title>Sign in</title>",
            "a web page, perhaps of a login; name the file's own address",
        ),
        (b"\xEF\xBB\xBF\r\n  <HTML lang=en>", "a web page, perhaps of a login; name the file's own address"),
        (b"<head><script>", "a web page, perhaps of a login; name the file's own address"),
        (b"<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code></Error>", "XML; export it as CSV"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "XML; export it as CSV"),
        (b"[{\"country\": \"Norland\"}]", "JSON; export it as CSV"),
        (b"\n {\"country\": \"Norland\", \"year\": 2001}\n", "JSON; export it as CSV"),
        (b"sep=;\ncountry;year\n", "preceded by Excel's line `sep=`; remove its first line"),
    ] {
        check(bytes, &format!("it is {what}"));
    }
}

#[test]
fn a_text_in_another_encoding_is_named() {
    let utf_16 =
        |bytes: fn(u16) -> [u8; 2]| move |rows: [&str; 2]| rows.join("\n").encode_utf16().flat_map(bytes).collect();
    let utf_32 = |bytes: fn(u32) -> [u8; 4]| {
        move |rows: [&str; 2]| rows.join("\n").chars().map(u32::from).flat_map(bytes).collect::<Vec<u8>>()
    };
    fn marked(mark: &'static [u8], text: impl Fn([&str; 2]) -> Vec<u8>) -> impl Fn([&str; 2]) -> Vec<u8> {
        move |rows| [mark, &text(rows)].concat()
    }
    let is_16 = "it is UTF-16; save it as UTF-8";
    check_changed(is_16, utf_16(u16::to_le_bytes));
    check_changed(is_16, utf_16(u16::to_be_bytes));
    check_changed(is_16, marked(b"\xFF\xFE", utf_16(u16::to_le_bytes)));
    check_changed(is_16, marked(b"\xFE\xFF", utf_16(u16::to_be_bytes)));
    let is_32 = "it is UTF-32; save it as UTF-8";
    check_changed(is_32, utf_32(u32::to_le_bytes));
    check_changed(is_32, utf_32(u32::to_be_bytes));
    check_changed(is_32, marked(b"\xFF\xFE\0\0", utf_32(u32::to_le_bytes)));
    check_changed(is_32, marked(b"\0\0\xFE\xFF", utf_32(u32::to_be_bytes)));
}

#[test]
fn what_is_not_text_is_named() {
    check([0; 100_000], "it begins with zero bytes: it is damaged, or was not written yet; copy it again");
    check(vec![0; 2 << 20], "it begins with zero bytes: it is damaged, or was not written yet; copy it again");
    let unknown =
        "it is not text: it is of another kind, or packed in a way that is not known; unpack it, and export it as CSV";
    check(b"\x0B\x80country\x01\x02\x03", unknown);
    check(b"\x7FELF\x02\x01\x01\0", unknown);
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    for bytes in ["", "\n", "\r\n\r\n", "\u{feff}", "\u{feff}\n\n"] {
        check(bytes, "the input is empty");
    }
}

#[test]
fn lines_that_do_not_end_as_they_should_are_named() {
    let alone =
        "its lines end with CR alone, as on old Macs; save it with LF or CRLF, or convert it with tr '\\r' '\\n'";
    check_changed(alone, |rows| lines(rows, "\r"));
    check_changed(alone, |rows| [b"\xEF\xBB\xBF".to_vec(), lines(rows, "\r")].concat());
    check_changed(alone, |[header, row]| format!("{header}\r{row}\n").into_bytes());
    check_changed(alone, |[header, row]| [lines([header, row], "\r"), lines([row, row], "\r").repeat(30_000)].concat());
    // No pipeline reads the last column.
    check_changed(alone, |[header, row]| {
        let more = |row: &str| format!("{row}{}more", if row.contains(';') { ';' } else { ',' });
        lines([&more(header), &more(row)], "\r")
    });
}

#[test]
fn a_header_that_is_not_the_pipelines_is_named() {
    check_changed("each line is one quoted field; save it without quotes around its lines", |rows| {
        lines(rows.map(|row| format!("\"{row}\"")).each_ref().map(String::as_str), "\n")
    });
    check(vec![b'x'; 2 << 20], "the header is unreadable: longer than 1 MiB");
    let none = |columns: &str| {
        format!("its first line names none of the columns {columns}: it is another file, or its header is missing")
    };
    let columns = |header: &str, delimiter| {
        header.split(delimiter).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    for producer in producers::all() {
        let [header, row] = rows(producer.name);
        let delimiter = if header.contains(';') { ';' } else { ',' };
        let none = none(&columns(header, delimiter));
        for bytes in ["a,b,c\n1,2,3\n", "404: Not Found", "version: 1\nouts:\n- md5: 0\n", row] {
            assert_eq!(read(&producer, bytes.as_bytes()), Err(none.clone()), "{bytes}");
        }
        // Also where another separator than the usual one is used.
        for other in [',', ';', '\t', '|'] {
            let (_, rest) = header.split_once(delimiter).unwrap();
            let (first, rest) = rest.split_once(delimiter).unwrap();
            let names = header.split(delimiter).next().unwrap();
            let header = format!("x{other}{first}{other}{}\n", rest.replace(delimiter, &other.to_string()));
            let expected = format!("column `{names}` is missing from the header");
            assert_eq!(read(&producer, header.as_bytes()), Err(expected), "{header}");
        }
    }
}

#[test]
fn a_file_of_another_pipeline_is_said_to_be_one() {
    let all = producers::all();
    for producer in &all {
        for other in all.iter().filter(|other| other.name != producer.name) {
            let expected =
                format!("it has the columns that --pipeline {} reads; choose that one, or another file", other.name);
            for delimiter in [",", ";", "\t"] {
                let bytes = lines(rows(other.name), "\n");
                let bytes = String::from_utf8(bytes).unwrap().replace([',', ';'], delimiter).to_uppercase();
                assert_eq!(read(producer, bytes.as_bytes()), Err(expected.clone()), "{}", producer.name);
            }
        }
    }
}
