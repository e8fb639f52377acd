use std::io::Write;

use bzip2::write::BzEncoder;
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
        let unpacked =
            unpack(raw, &Progress::start(service::health::Health::new(std::time::Duration::MAX)), &Location::Stdin);
        let read = unpacked.and_then(|mut input| or_exit(input.read_to_string(&mut text), &Location::Stdin));
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

fn zstd(text: &str) -> Vec<u8> {
    // As zstd's own program writes it: with a checksum.
    let mut encoder = zstd::Encoder::new(vec![], 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(text: &str) -> Vec<u8> {
    let mut encoder = BzEncoder::new(vec![], bzip2::Compression::fast());
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
    for plain in ["", "a", "PK", "BZh9 is a name", "Date;Time"] {
        check(plain.as_bytes(), Ok(plain));
        check(&gzip(plain), Ok(plain));
        check(&xz(plain), Ok(plain));
        check(&zstd(plain), Ok(plain));
        check(&bzip2(plain), Ok(plain));
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            check(&zip(&[("household.txt", plain)], method), Ok(plain));
        }
    }
}

#[test]
fn what_was_packed_in_pieces_is_read_whole() {
    check(&[gzip("two "), gzip("members")].concat(), Ok("two members"));
    check(&[xz("two "), xz("streams")].concat(), Ok("two streams"));
    check(&[bzip2("two "), bzip2("streams")].concat(), Ok("two streams"));
    check(&[zstd("two "), zstd("frames")].concat(), Ok("two frames"));
    let skipped = b"\x5A\x2A\x4D\x18\x03\0\0\0???";
    check(&[&skipped[..], &zstd("some "), skipped, &zstd("skipped"), skipped].concat(), Ok("some skipped"));
}

#[test]
fn an_archive_holds_one_file() {
    let zip = |files: &[(&str, &str)]| zip(files, CompressionMethod::Deflated);
    let fault = |reason| Err((Exit::Input, reason));
    check(&zip(&[("__MACOSX/._a.txt", "x"), ("folder/", ""), ("folder/a.txt", "a")]), Ok("a"));
    check(&zip(&[]), fault("cannot use the input `-`: it is a zip archive that holds no file"));
    let two = [("b.txt", "b"), ("a.txt", "a")];
    check(&zip(&two), fault("that holds 2 files (b.txt, a.txt); unpack it, and name one"));
    let many = ["a", "b", "c", "d", "e", "f"].map(|name| (name, ""));
    check(&zip(&many), fault("that holds 6 files (a, b, c, d, e, …); unpack it, and name one"));
}

#[test]
fn zero_bytes_behind_packed_data_are_padding() {
    for packed in [gzip("text"), zstd("text"), bzip2("text"), [gzip("te"), gzip("xt")].concat()] {
        for zeros in [1, 3, 512, BUFFER + 1] {
            check(&[&packed[..], &vec![0; zeros]].concat(), Ok("text"));
        }
    }
    // As xz has it: by fours, between streams too.
    check(&[&xz("text")[..], &[0; 512]].concat(), Ok("text"));
    check(&[&xz("te")[..], &[0; 4], &xz("xt")].concat(), Ok("text"));
    check(&[&xz("text")[..], &[0; 3]].concat(), Err((Exit::Input, "`-`")));
    let zip = zip(&[("a", "text")], CompressionMethod::Deflated);
    check(&[&zip[..], &[0; 512]].concat(), Ok("text"));
}

#[test]
fn what_may_have_been_rows_behind_packed_data_is_not_passed_over() {
    for (packed, name) in [(gzip("text"), "gzip"), (zstd("text"), "zstd"), (bzip2("text"), "bzip2")] {
        let reason = format!("behind the end of its {name} data is something else");
        for rest in [&b"garbage"[..], b"\0\0garbage", &[&[0], &packed[..]].concat()] {
            check(&[&packed, rest].concat(), Err((Exit::Input, &reason)));
        }
        // It begins as a further member does, but is not one.
        check(&[&packed[..], &packed[..1]].concat(), Err((Exit::Input, "`-`")));
        check(&[&packed[..], &packed[..1], b"garbage"].concat(), Err((Exit::Input, "`-`")));
    }
}

#[test]
fn an_office_file_is_named() {
    for (own, what) in [
        ("xl/workbook.xml", "an Excel workbook; save its sheet"),
        ("xl/workbook.bin", "an Excel workbook; save its sheet"),
        ("word/document.xml", "a Word document; save the table"),
        ("META-INF/manifest.xml", "an OpenDocument file; save its sheet"),
    ] {
        let files = [("[Content_Types].xml", "<Types/>"), (own, "<workbook/>"), ("content.xml", "")];
        let expected = format!("cannot use the input `-`: it is {what} as CSV UTF-8");
        check(&zip(&files, CompressionMethod::Deflated), Err((Exit::Input, &expected)));
    }
}

#[test]
fn damage_is_the_inputs_fault() {
    let text = "17:24:00;4.216;".repeat(1_000);
    for packed in [gzip(&text), xz(&text), zstd(&text), bzip2(&text), zip(&[("a", &text)], CompressionMethod::Deflated)]
    {
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
