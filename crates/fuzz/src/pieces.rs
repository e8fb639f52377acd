//! The same bytes, handed out as a slow pipe or an interrupted call may.

use std::io::{self, ErrorKind, Read};

use proptest::{collection::vec, prelude::*};

/// Bytes that come in pieces of given sizes, by turns; a size of 0 is an interrupted call.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: &'a [u8],
    sizes: &'a [usize],
    turn: usize,
}

impl<'a> Pieces<'a> {
    /// The bytes in pieces; one of the sizes at least is not 0, or they never come to an end.
    pub fn new(bytes: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { rest: bytes, sizes, turn: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()];
        self.turn += 1;
        if size == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let (piece, rest) = self.rest.split_at(size.min(buffer.len()).min(self.rest.len()));
        buffer[..piece.len()].copy_from_slice(piece);
        self.rest = rest;
        Ok(piece.len())
    }
}

/// Sizes for [`Pieces`], the smallest of them single bytes and the largest `most`.
pub fn sizes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    (1..=most, vec(0..=most, 0..5)).prop_map(|(first, mut others)| {
        others.insert(0, first);
        others
    })
}
