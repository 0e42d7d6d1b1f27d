//! What a process and its successor say to each other, over a Unix socket without a name: once a head with the listening
//! sockets, then one word a line. Knows nothing of what either does with it.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    process::Stdio,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Interest},
    net::UnixStream,
};

/// The environment variable by which a process knows that its standard input is the socket of its predecessor.
pub const VARIABLE: &str = "THALWEG_UPGRADE";
/// The version of this conversation.
const PROTOCOL: u64 = 1;
/// Descriptors in one message; the kernel takes 253 at most.
const BATCH: usize = 64;
/// Longest head: the orders that stand take about 3 MB at most.
const MAX_HEAD: u32 = 16 << 20;
/// Most sockets: 256 listeners on 1,024 workers would be more, and more than a process may have open.
const MAX_SOCKETS: usize = 65_536;
/// Longest line.
const MAX_LINE: u64 = 64 << 10;

/// What a successor is told at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The predecessor.
    pub pid: u32,
    /// The listener of each socket, in the order in which they follow; `None` = the admin server.
    pub names: Vec<Option<String>>,
    /// Orders and latches, in the form of the state file.
    pub state: String,
    /// The generation in force.
    pub generation: u64,
    /// The hash of its config.
    pub config_hash: String,
    /// The routes that can serve.
    pub routes: Vec<String>,
    /// Whether BIRD is told to announce.
    pub announced: bool,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandoverMessage {
    /// Successor: not ready yet, and why.
    Waiting(String),
    /// Successor: every route can serve that could before.
    Ready,
    /// Predecessor: take over.
    Go,
    /// Successor: the sockets are served.
    Serving,
    /// Successor: it ends, and why.
    Failed(String),
}

impl HandoverMessage {
    fn line(&self) -> String {
        let (word, detail) = match self {
            Self::Waiting(why) => ("waiting", Some(why)),
            Self::Ready => ("ready", None),
            Self::Go => ("go", None),
            Self::Serving => ("serving", None),
            Self::Failed(why) => ("failed", Some(why)),
        };
        format!("{}\n", json!({ "said": word, "detail": detail }))
    }

    fn read(line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|_| not_understood(line))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let detail = || text("detail").unwrap_or_default().to_owned();
        match text("said") {
            Some("waiting") => Ok(Self::Waiting(detail())),
            Some("ready") => Ok(Self::Ready),
            Some("go") => Ok(Self::Go),
            Some("serving") => Ok(Self::Serving),
            Some("failed") => Ok(Self::Failed(detail())),
            _ => Err(not_understood(line)),
        }
    }
}

fn not_understood(line: &str) -> String {
    let line: String = line.chars().take(80).collect();
    format!("what it said is not understood: {line:?}")
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let head = json!({
            "protocol": PROTOCOL, "pid": self.pid, "names": self.names, "state": self.state,
            "generation": self.generation, "config_hash": self.config_hash, "routes": self.routes,
            "announced": self.announced,
        });
        head.to_string().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let head: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("the head is no JSON: {error}"))?;
        let get = |name: &str| head.get(name).ok_or_else(|| format!("the head has no `{name}`"));
        if get("protocol")? != PROTOCOL {
            return Err("the running process speaks another version of this protocol: restart instead".into());
        }
        let texts = |name: &str| -> Result<Vec<Option<String>>, String> {
            let list = get(name)?.as_array().ok_or_else(|| format!("`{name}` is no list"))?;
            Ok(list.iter().map(|one| one.as_str().map(str::to_owned)).collect())
        };
        let text = |name: &str| Ok::<_, String>(get(name)?.as_str().unwrap_or_default().to_owned());
        let number = |name: &str| Ok::<_, String>(get(name)?.as_u64().unwrap_or_default());
        Ok(Self {
            pid: u32::try_from(number("pid")?).unwrap_or_default(),
            names: texts("names")?,
            state: text("state")?,
            generation: number("generation")?,
            config_hash: text("config_hash")?,
            routes: texts("routes")?.into_iter().flatten().collect(),
            announced: head.get("announced").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

/// One end of the conversation.
#[derive(Debug)]
pub struct Channel(BufReader<UnixStream>);

impl Channel {
    /// Both ends; the other one is to be a child's standard input.
    ///
    /// # Errors
    /// When the kernel has no socket left.
    pub fn pair() -> io::Result<(Self, Stdio)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        Ok((Self::of(ours)?, Stdio::from(OwnedFd::from(theirs))))
    }

    /// The rest of a conversation whose head has been read.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn of(socket: StdUnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(BufReader::new(UnixStream::from_std(socket)?)))
    }

    /// Sends the head, then the sockets in messages of one byte each, so that no read can end between a byte and its
    /// descriptors.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn send_sockets(&mut self, hello: &Hello, sockets: &[TcpListener]) -> Result<(), String> {
        let head = hello.encode();
        let length = u32::try_from(head.len()).map_err(|_| "the head is too long".to_owned())?;
        let stream = self.0.get_mut();
        stream.write_all(&length.to_be_bytes()).await.map_err(gone)?;
        stream.write_all(&head).await.map_err(gone)?;
        for batch in sockets.chunks(BATCH) {
            let fds: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
            let send = || send_batch(stream.as_fd(), &fds);
            stream.async_io(Interest::WRITABLE, send).await.map_err(gone)?;
        }
        Ok(())
    }

    /// Says one word.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn say(&mut self, said: &HandoverMessage) -> Result<(), String> {
        self.0.get_mut().write_all(said.line().as_bytes()).await.map_err(gone)
    }

    /// Hears the next word.
    ///
    /// # Errors
    /// The other process has ended, or said something else than a word.
    pub async fn hear(&mut self) -> Result<HandoverMessage, String> {
        let mut line = String::new();
        let mut bounded = tokio::io::AsyncReadExt::take(&mut self.0, MAX_LINE);
        match bounded.read_line(&mut line).await {
            Ok(0) => Err("it ended without a word".into()),
            Ok(_) => HandoverMessage::read(line.trim_end()),
            Err(error) => Err(gone(error)),
        }
    }

    /// Hears until the successor is ready; `waits_for` is what it last waited for.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn until_ready(&mut self, waits_for: &mut String) -> Result<(), String> {
        loop {
            match self.hear().await? {
                HandoverMessage::Ready => return Ok(()),
                HandoverMessage::Waiting(why) => *waits_for = why,
                HandoverMessage::Failed(why) => return Err(why),
                other => return Err(not_understood(&other.line())),
            }
        }
    }

    /// Hears this word.
    ///
    /// # Errors
    /// Another one came, or none.
    pub async fn expect(&mut self, expected: &HandoverMessage) -> Result<(), String> {
        match self.hear().await? {
            said if said == *expected => Ok(()),
            HandoverMessage::Failed(why) => Err(why),
            other => Err(not_understood(&other.line())),
        }
    }
}

fn gone(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "it ended without a word".into(),
        _ => format!("the socket between the processes failed: {error}"),
    }
}

fn send_batch(socket: BorrowedFd<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    sendmsg(socket, &[IoSlice::new(b".")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Says one word on a socket that may block.
///
/// # Errors
/// It did not leave.
pub fn say_now(mut socket: StdUnixStream, said: &HandoverMessage) -> io::Result<()> {
    socket.write_all(said.line().as_bytes())
}

/// Reads the head and the sockets. Blocks, as long as the socket's read timeout allows.
///
/// # Errors
/// What is wrong with either.
pub fn receive(socket: &mut StdUnixStream) -> Result<(Hello, Vec<OwnedFd>), String> {
    let fail = |error: io::Error| format!("nothing came from the running process: {error}");
    let mut length = [0; 4];
    socket.read_exact(&mut length).map_err(fail)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_HEAD {
        return Err("the head is too long".into());
    }
    let mut head = vec![0; length as usize];
    socket.read_exact(&mut head).map_err(fail)?;
    let hello = Hello::decode(&head)?;
    let count = hello.names.len();
    if count > MAX_SOCKETS {
        return Err("too many sockets".into());
    }
    let mut fds = Vec::with_capacity(count);
    while fds.len() < count {
        let before = fds.len();
        receive_batch(socket, &mut fds).map_err(fail)?;
        if fds.len() == before || fds.len() > count {
            return Err(format!("{} sockets were announced, and {} came", count, fds.len()));
        }
    }
    Ok((hello, fds))
}

fn receive_batch(socket: &StdUnixStream, fds: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut places = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut places, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn hello(count: usize) -> Hello {
        let mut names: Vec<Option<String>> = (0..count).map(|nth| Some(format!("web{nth}"))).collect();
        names.push(None);
        Hello {
            pid: 7,
            names,
            state: "{\"orders\":[]}".into(),
            generation: 3,
            config_hash: "abc".into(),
            routes: vec!["api".into()],
            announced: true,
        }
    }

    /// Sends as many sockets as said and reads them at the other end.
    async fn check(count: usize) {
        let sockets: Vec<TcpListener> =
            (0..=count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = sockets.iter().map(|one| one.local_addr().unwrap()).collect();
        let (ours, mut theirs) = StdUnixStream::pair().unwrap();
        let mut channel = Channel::of(ours).unwrap();
        let reader = std::thread::spawn(move || receive(&mut theirs));
        channel.send_sockets(&hello(count), &sockets).await.unwrap();
        let (read, fds) = reader.join().unwrap().unwrap();
        assert_eq!(read, hello(count));
        let received: Vec<SocketAddr> =
            fds.into_iter().map(|fd| TcpListener::from(fd).local_addr().unwrap()).collect();
        assert_eq!(received, addresses, "in the order in which they were sent");
    }

    #[tokio::test]
    async fn the_sockets_arrive_in_their_order() {
        for count in [0, 1, BATCH - 1, BATCH, 3 * BATCH + 5] {
            check(count).await;
        }
    }

    #[tokio::test]
    async fn a_word_is_read_as_it_was_said() {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (Channel::of(ours).unwrap(), Channel::of(theirs).unwrap());
        let words = [
            HandoverMessage::Waiting("route \"a\"\nb".into()),
            HandoverMessage::Ready,
            HandoverMessage::Go,
            HandoverMessage::Serving,
            HandoverMessage::Failed(String::new()),
        ];
        for said in words {
            ours.say(&said).await.unwrap();
            assert_eq!(theirs.hear().await, Ok(said));
        }
        drop(ours);
        assert_eq!(theirs.hear().await, Err("it ended without a word".into()));
    }

    #[test]
    fn a_head_that_is_not_understood_is_refused() {
        let changed = |name: &str, value: Value| {
            let mut head: Value = serde_json::from_slice(&hello(1).encode()).unwrap();
            head.as_object_mut().unwrap().insert(name.into(), value);
            Hello::decode(head.to_string().as_bytes())
        };
        assert_eq!(changed("unknown", json!(1)), Ok(hello(1)), "a later version may say more");
        assert!(changed("protocol", json!(2)).unwrap_err().contains("another version"));
        assert!(changed("names", json!(2)).unwrap_err().contains("`names` is no list"));
        assert!(Hello::decode(b"GET / HTTP/1.1").unwrap_err().contains("no JSON"));
        assert!(Hello::decode(b"{}").unwrap_err().contains("no `protocol`"));
    }
}
