//! Requests: `reader` reads them one after another, `head` is what it reads; `line` and `target` are the grammar of the
//! request line.

mod reader;
mod head;
mod line;
pub(crate) mod target;

pub use head::{Method, RequestHead, RequestParts};
pub use reader::{RequestReader, RequestStep};
pub use target::TargetForm;
