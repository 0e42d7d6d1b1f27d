//! Interim answers (103 Early Hints and other 1xx but 100) on their way to the client. Counts none: an exchange bounds how
//! many its endpoint may send.

use std::{cell::RefCell, rc::Rc, task::Context};

use h2::StreamId;
use http::{Response, StatusCode};
use thalweg_wire::AnswerHead;

use crate::data::{client::Client, headers::answer_map};

/// Where the interim answers to a request go.
#[derive(Clone, Debug)]
pub enum InterimTo {
    /// To the client's connection.
    Http1(Rc<Client>),
    /// To one stream of the client's connection.
    Http2(Rc<InterimQueue>, StreamId),
    /// Nowhere: HTTP/3, whose library has no call for them, and connections that are not HTTP.
    None,
}

impl InterimTo {
    /// Passes one on.
    pub fn pass(&self, head: &AnswerHead, cx: &mut Context<'_>) {
        match self {
            Self::Http1(client) => client.pass_interim(head, cx),
            Self::Http2(queue, stream) => queue.push(*stream, head),
            Self::None => {}
        }
    }
}

/// The interim answers that one HTTP/2 connection has yet to send. One queue per connection, so that a request allocates
/// nothing for what it nearly never has.
#[derive(Debug, Default)]
pub struct InterimQueue(RefCell<Vec<(StreamId, Response<()>)>>);

impl InterimQueue {
    fn push(&self, stream: StreamId, head: &AnswerHead) {
        let Ok(status) = StatusCode::from_u16(head.status()) else { return };
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        *answer.headers_mut() = answer_map(head);
        self.0.borrow_mut().push((stream, answer));
    }

    /// Empties the queue and hands out those of `stream`, which has just been polled. What is left of other streams came
    /// from attempts that have lost.
    pub fn take(&self, stream: StreamId) -> Vec<Response<()>> {
        if self.0.borrow().is_empty() {
            return Vec::new();
        }
        let all = self.0.take();
        all.into_iter().filter(|(of, _)| *of == stream).map(|(_, answer)| answer).collect()
    }
}
