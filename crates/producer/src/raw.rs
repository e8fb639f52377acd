//! The bytes of the input as they come, and what a failure to read them means.

use std::{error::Error, fs::File, io};

use registry::producers::Input;
use service::{Exit, Failure};

/// The input as it was published, perhaps packed.
pub(crate) enum Raw {
    /// It can be read twice.
    File(File),
    /// It comes once.
    Stream(Input),
}

/// The exit code that an input that cannot be read deserves: the one that reading an address has already decided, or
/// that of an input at fault.
pub(crate) fn exit_of(error: &(dyn Error + 'static)) -> Exit {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let carried = chain.filter_map(|error| error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Failure>());
    carried.map(Failure::exit).next().unwrap_or(Exit::Input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reading_has_decided_counts() {
        let unavailable = io::Error::other(Failure::new(Exit::Unavailable, "the server is unavailable"));
        let error = stream::ReadError::Read { line: 7, source: unavailable };
        assert_eq!(exit_of(&error), Exit::Unavailable);
        assert_eq!(exit_of(&stream::ReadError::Unusable("a column is missing".to_owned())), Exit::Input);
    }
}
