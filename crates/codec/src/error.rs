//! What may go wrong in a codec.

use thiserror::Error;

/// Why a codec gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// A picture that is empty or larger than [`crate::MAX_PIXELS`] and [`crate::MAX_SIDE`] allow.
    #[error("a picture of {width}x{height} is outside of what is decoded or encoded")]
    Size {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The encoded data is damaged, or begins with something other than a key frame.
    #[error("damaged {codec} data (the library says {code})")]
    Damaged {
        /// The codec's name.
        codec: &'static str,
        /// The library's own code, 0 where it has none.
        code: i32,
    },
    /// Valid data in a form that is not handled, such as ten bits a sample.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A library refused a call that does not depend on a peer's data.
    #[error("{call} failed with {code}")]
    Library {
        /// The library's function.
        call: &'static str,
        /// Its return value, 0 where it has none.
        code: i32,
    },
}
