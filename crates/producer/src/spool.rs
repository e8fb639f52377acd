//! Copies an input that can be read only once to disk, so that it can be read again.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use service::{Exit, ResultExt};

use crate::{location::Location, raw::exit_of};

/// How much is read at a time.
const CHUNK: usize = 128 << 10;

/// A temporary file without a name, which is gone with the program.
///
/// # Errors
/// Exit 64 when there is no room for one.
pub(crate) fn nameless() -> anyhow::Result<File> {
    tempfile::tempfile().or_exit(Exit::Usage, no_room)
}

/// Writes all that `from` gives to `to`, and passes it to `inspect`, chunk by chunk.
///
/// # Errors
/// What reading gives, 65 unless it says otherwise; exit 64 when there is no room.
pub(crate) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    location: &Location,
    mut inspect: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let exit = exit_of(&error);
                return Err(error).or_exit(exit, || format!("cannot read the input `{location}`"));
            }
        };
        inspect(&chunk[..read]);
        to.write_all(&chunk[..read]).or_exit(Exit::Usage, no_room)?;
    }
}

fn no_room() -> String {
    let folder = std::env::temp_dir();
    format!("cannot keep the input in {} to read it again; name a folder with room in TMPDIR", folder.display())
}
