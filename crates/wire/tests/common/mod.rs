//! Drives the readers as the edge does, over any division of the input into reads, and keeps what they said.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "test code; each test binary uses a part of this module"
)]

pub mod invariants;

use thalweg_wire::{
    AnswerHead, AnswerReader, AnswerStep, AnswerTo, BodyEvent, Fields, Limits, ProtocolError, RequestHead,
    RequestReader, RequestStep,
};

/// One thing that a reader said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request's head: `METHOD path framing`.
    Request(String),
    /// An answer's head: `status framing`.
    Answer(String),
    /// One field of the head before, or of a trailer section.
    Field(String),
    /// Content; neighbouring pieces are one.
    Data(Vec<u8>),
    /// The end of a message.
    End,
    /// The bytes behind a 101.
    Switched(Vec<u8>),
    /// A head was read whose fields look like framing: the edge refuses it unless its operator says otherwise.
    LookAlike,
    /// The reader refused.
    Refused(ProtocolError),
}

/// Everything that a reader said about one connection.
#[derive(Debug, Default)]
pub struct Transcript {
    pub seen: Vec<Seen>,
    /// The most memory that the reader held between two reads.
    pub memory: usize,
    /// How many requests were read when one said that the connection closes behind it.
    pub closes_behind: Option<usize>,
}

impl Transcript {
    fn data(&mut self, more: &[u8]) {
        match self.seen.last_mut() {
            Some(Seen::Data(data)) => data.extend_from_slice(more),
            _ => self.seen.push(Seen::Data(more.to_vec())),
        }
    }

    fn fields(&mut self, fields: &Fields) {
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let shown = fields.iter().map(|field| format!("{}: {}", lossy(field.name), lossy(field.value)));
        self.seen.extend(shown.map(Seen::Field));
    }

    fn end(&mut self, trailers: Option<&Fields>) {
        if let Some(trailers) = trailers {
            self.fields(trailers);
        }
        self.seen.push(Seen::End);
    }

    /// The first refusal.
    pub fn refusal(&self) -> Option<ProtocolError> {
        self.seen.iter().find_map(|seen| if let Seen::Refused(error) = seen { Some(*error) } else { None })
    }

    /// Whether a head was refused for a field that looks like framing.
    pub fn has_look_alike(&self) -> bool {
        self.seen.contains(&Seen::LookAlike)
    }

    /// Every body as one.
    pub fn content(&self) -> Vec<u8> {
        let data = |seen: &Seen| if let Seen::Data(data) = seen { Some(data.clone()) } else { None };
        self.seen.iter().filter_map(data).flatten().collect()
    }

    /// How many heads of requests were read.
    pub fn requests(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen, Seen::Request(_))).count()
    }

    /// How many requests a server answers: those up to one that closes the connection.
    pub fn requests_until_close(&self) -> usize {
        self.closes_behind.unwrap_or_else(|| self.requests())
    }

    /// Heads and ends, for tables.
    pub fn brief(&self) -> Vec<String> {
        let line = |seen: &Seen| match seen {
            Seen::Request(head) | Seen::Answer(head) => Some(head.clone()),
            Seen::Data(data) => Some(format!("[{}]", String::from_utf8_lossy(data))),
            Seen::Switched(data) => Some(format!("switched [{}]", String::from_utf8_lossy(data))),
            Seen::Refused(error) => Some(error.as_str().to_owned()),
            Seen::Field(_) | Seen::End | Seen::LookAlike => None,
        };
        self.seen.iter().filter_map(line).collect()
    }
}

/// The input as one read.
pub fn whole(input: &[u8]) -> Vec<&[u8]> {
    vec![input]
}

/// The input byte by byte.
pub fn bytewise(input: &[u8]) -> Vec<&[u8]> {
    input.chunks(1).collect()
}

/// The input cut at these places.
pub fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for place in places {
        pieces.push(&input[from..place]);
        from = place;
    }
    pieces.push(&input[from..]);
    pieces
}

/// Reads a whole connection of requests.
pub fn requests(reads: &[&[u8]], limits: Limits) -> Transcript {
    read_requests(reads, limits, false)
}

/// As the edge does unless its operator says otherwise: a look-alike of framing ends the connection.
pub fn requests_without_look_alikes(reads: &[&[u8]], limits: Limits) -> Transcript {
    read_requests(reads, limits, true)
}

fn read_requests(reads: &[&[u8]], limits: Limits, refuse_look_alikes: bool) -> Transcript {
    let mut client = Client {
        reader: RequestReader::new(limits),
        head: RequestHead::default(),
        in_body: false,
        refuse_look_alikes,
        transcript: Transcript::default(),
    };
    let mut read = || {
        for read in reads {
            client.read(read)?;
            if client.transcript.has_look_alike() {
                return Ok(());
            }
            client.transcript.memory = client.transcript.memory.max(client.reader.memory());
        }
        client.reader.end_of_input()
    };
    if let Err(error) = read() {
        client.transcript.seen.push(Seen::Refused(error));
        assert_eq!(
            client.reader.head(b"GET / HTTP/1.1\r\n", &mut client.head),
            Err(error),
            "a refusal is final"
        );
    }
    client.transcript
}

struct Client {
    reader: RequestReader,
    head: RequestHead,
    in_body: bool,
    refuse_look_alikes: bool,
    transcript: Transcript,
}

impl Client {
    fn read(&mut self, mut rest: &[u8]) -> Result<(), ProtocolError> {
        loop {
            if self.in_body {
                let step = self.reader.body(rest)?;
                match step.event {
                    BodyEvent::Data(place) => self.transcript.data(&rest[place]),
                    BodyEvent::More => return Ok(()),
                    BodyEvent::End => {
                        self.transcript.end(self.reader.trailers());
                        self.in_body = false;
                    }
                }
                rest = &rest[step.consumed..];
            } else if rest.is_empty() {
                return Ok(());
            } else {
                let RequestStep::Head { consumed } = self.reader.head(rest, &mut self.head)? else {
                    return Ok(());
                };
                rest = &rest[consumed..];
                let head = &self.head;
                if self.refuse_look_alikes && head.has_look_alike() {
                    self.transcript.seen.push(Seen::LookAlike);
                    return Ok(());
                }
                let line = format!("{} {} {:?}", head.method_name(), head.target(), head.framing());
                self.transcript.seen.push(Seen::Request(line));
                self.transcript.fields(head.fields());
                if !head.keep_alive() && self.transcript.closes_behind.is_none() {
                    self.transcript.closes_behind = Some(self.transcript.requests());
                }
                self.in_body = true;
            }
        }
    }
}

/// Reads the answer to one request. Bytes behind its end are a refusal with `out_of_step`.
pub fn answer(reads: &[&[u8]], to: AnswerTo, limits: Limits) -> Transcript {
    let mut endpoint = Endpoint {
        reader: AnswerReader::new(to, limits),
        head: AnswerHead::default(),
        phase: Phase::Head,
        transcript: Transcript::default(),
    };
    let mut read = || {
        for read in reads {
            endpoint.read(read)?;
            endpoint.transcript.memory = endpoint.transcript.memory.max(endpoint.reader.memory());
        }
        if !matches!(endpoint.phase, Phase::Over | Phase::Switched) {
            endpoint.reader.end_of_input()?;
            endpoint.transcript.end(endpoint.reader.trailers());
        }
        Ok(())
    };
    if let Err(error) = read() {
        endpoint.transcript.seen.push(Seen::Refused(error));
    }
    endpoint.transcript
}

struct Endpoint {
    reader: AnswerReader,
    head: AnswerHead,
    phase: Phase,
    transcript: Transcript,
}

#[derive(Clone, Copy)]
enum Phase {
    Head,
    Body,
    Over,
    Switched,
}

impl Endpoint {
    fn read(&mut self, mut rest: &[u8]) -> Result<(), ProtocolError> {
        loop {
            match self.phase {
                Phase::Body => {
                    let step = self.reader.body(rest)?;
                    match step.event {
                        BodyEvent::Data(place) => self.transcript.data(&rest[place]),
                        BodyEvent::More => return Ok(()),
                        BodyEvent::End => {
                            self.transcript.end(self.reader.trailers());
                            self.phase = Phase::Over;
                        }
                    }
                    rest = &rest[step.consumed..];
                }
                _ if rest.is_empty() => return Ok(()),
                Phase::Head => match self.head(rest)? {
                    Some(consumed) => rest = &rest[consumed..],
                    None => return Ok(()),
                },
                Phase::Over => {
                    assert!(!self.reader.may_reuse(rest), "a server that sends too much is out of step");
                    return Err(ProtocolError::OutOfStep);
                }
                Phase::Switched => {
                    if let Some(Seen::Switched(data)) = self.transcript.seen.last_mut() {
                        data.extend_from_slice(rest);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn head(&mut self, rest: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let (consumed, phase) = match self.reader.head(rest, &mut self.head)? {
            AnswerStep::More => return Ok(None),
            AnswerStep::Interim { consumed } => (consumed, Phase::Head),
            AnswerStep::Head { consumed } => (consumed, Phase::Body),
            AnswerStep::Switched { consumed } => (consumed, Phase::Switched),
        };
        self.phase = phase;
        self.transcript.seen.push(Seen::Answer(format!("{} {:?}", self.head.status(), self.head.framing())));
        self.transcript.fields(self.head.fields());
        if let Phase::Switched = phase {
            self.transcript.seen.push(Seen::Switched(Vec::new()));
        }
        Ok(Some(consumed))
    }
}
