//! Packed data of several members, one behind the other, as each packer's own program reads it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use registry::producers::Input;
use service::Failure;

/// The largest window that zstd may ask for, as a power of two: 128 MiB, what its own program allows. A header may ask
/// for gigabytes.
const ZSTD_WINDOW_LOG: u32 = 27;

/// What is packed.
pub(crate) type Packed = BufReader<Input>;

/// Unpacks one member, and then gives back what is behind it.
pub(crate) trait Member: Read + Sized {
    /// The packer.
    const NAME: &'static str;

    /// Begins to unpack a member.
    fn begin(packed: Packed) -> io::Result<Self>;

    /// Whether a member begins with this byte.
    fn begins_with(byte: u8) -> bool;

    /// What is behind the member.
    fn rest(self) -> Packed;
}

/// Unpacks all members.
///
/// Zero bytes behind the last one are padding, of tapes and block devices. Anything else that is no member is an error:
/// it may have been rows.
pub(crate) struct Members<M> {
    /// `None` at the end.
    member: Option<M>,
}

impl<M: Member> Members<M> {
    pub(crate) fn new(packed: Packed) -> io::Result<Self> {
        Ok(Self { member: Some(M::begin(packed)?) })
    }
}

impl<M: Member> Read for Members<M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.member = self.member.take().map_or(Ok(None), |member| next(member.rest()))?;
        }
        Ok(0)
    }
}

/// The member that comes next, or none behind the last one.
fn next<M: Member>(mut rest: Packed) -> io::Result<Option<M>> {
    let mut padded = false;
    loop {
        let bytes = match rest.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        match bytes.iter().position(|&byte| byte != 0) {
            None if bytes.is_empty() => return Ok(None),
            None => {
                padded = true;
                let len = bytes.len();
                rest.consume(len);
            }
            Some(0) if !padded && M::begins_with(bytes[0]) => return M::begin(rest).map(Some),
            Some(_) => {
                let why = format!("behind the end of its {} data is something else", M::NAME);
                return Err(io::Error::new(ErrorKind::InvalidData, why));
            }
        }
    }
}

impl Member for GzDecoder<Packed> {
    const NAME: &'static str = "gzip";

    fn begin(packed: Packed) -> io::Result<Self> {
        Ok(Self::new(packed))
    }

    fn begins_with(byte: u8) -> bool {
        byte == 0x1F
    }

    fn rest(self) -> Packed {
        self.into_inner()
    }
}

impl Member for BzDecoder<Packed> {
    const NAME: &'static str = "bzip2";

    fn begin(packed: Packed) -> io::Result<Self> {
        Ok(Self::new(packed))
    }

    fn begins_with(byte: u8) -> bool {
        byte == b'B'
    }

    fn rest(self) -> Packed {
        self.into_inner()
    }
}

/// Unpacks a frame of zstd.
pub(crate) struct ZstdFrame(zstd::Decoder<'static, Packed>);

impl Read for ZstdFrame {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            // What zstd itself finds wrong; reading the input fails with a code of the system or a failure of ours.
            ErrorKind::Other if error.get_ref().is_some_and(|inner| !inner.is::<Failure>()) => {
                io::Error::new(ErrorKind::InvalidData, error)
            }
            _ => error,
        })
    }
}

impl Member for ZstdFrame {
    const NAME: &'static str = "zstd";

    fn begin(packed: Packed) -> io::Result<Self> {
        let mut decoder = zstd::Decoder::with_buffer(packed)?.single_frame();
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(Self(decoder))
    }

    /// The second are frames to be skipped, which some programs put in front of each.
    fn begins_with(byte: u8) -> bool {
        matches!(byte, 0x28 | 0x50..=0x5F)
    }

    fn rest(self) -> Packed {
        self.0.finish()
    }
}
