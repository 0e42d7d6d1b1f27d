//! Answers: `reader` reads the answer to one request, `head` is what it reads; `line` is the grammar of the status line.

mod reader;
mod head;
mod line;

pub use head::{AnswerHead, AnswerParts, AnswerTo};
pub use reader::{AnswerReader, AnswerStep};
