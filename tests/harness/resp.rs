//! A plain client of the Redis protocol, both versions: tests see the wire as it is, whatever a
//! client library would make of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// No answer within this time is a failure.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

/// A reply.
#[derive(Clone, PartialEq)]
pub enum Value {
    Nil,
    Int(i64),
    /// `+OK`
    Status(String),
    Bulk(Vec<u8>),
    Array(Vec<Value>),
    /// RESP3 only.
    Map(Vec<(Value, Value)>),
    /// RESP3 only.
    Set(Vec<Value>),
    /// RESP3 only, out of band.
    Push(Vec<Value>),
    /// RESP3 only: doubles, booleans, big numbers, as they stand on the wire.
    Scalar(char, String),
    Error(String),
}

impl Value {
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Status(text) => text.clone(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bulk(bytes) => bytes.clone(),
            Self::Status(text) => text.clone().into_bytes(),
            other => panic!("expected bytes, got {other:?}"),
        }
    }

    pub fn items(&self) -> &[Value] {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    pub fn texts(&self) -> Vec<String> {
        self.items().iter().map(Value::text).collect()
    }

    /// Names and values of a map, or of the flat array that stands for one in RESP2.
    pub fn pairs(&self) -> Vec<(Value, Value)> {
        match self {
            Self::Map(pairs) => pairs.clone(),
            Self::Array(items) => {
                assert!(items.len() % 2 == 0, "a flat map has an even length: {self:?}");
                items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
            }
            other => panic!("expected a map, got {other:?}"),
        }
    }

    /// As [`Value::pairs`], of texts.
    pub fn fields(&self) -> BTreeMap<String, String> {
        self.pairs().iter().map(|(name, value)| (name.text(), value.text())).collect()
    }

    /// The first word of an error reply.
    pub fn code(&self) -> &str {
        match self {
            Self::Error(text) => text.split(' ').next().unwrap_or_default(),
            other => panic!("expected an error, got {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Status(text) => write!(f, "+{text}"),
            Self::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Set(items) => f.debug_set().entries(items).finish(),
            Self::Push(items) => write!(f, ">{items:?}"),
            Self::Scalar(kind, text) => write!(f, "{kind}{text}"),
            Self::Error(text) => write!(f, "-{text}"),
        }
    }
}

/// A connection.
pub struct Conn {
    stream: BufReader<UnixStream>,
}

impl Conn {
    /// Connects to a server's socket.
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(REPLY_LIMIT))?;
        stream.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Waits no longer than this for a reply from now on: whoever asks may find a server that says nothing.
    pub fn limit(&mut self, limit: Duration) {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<()> {
        let mut wire = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            let argument = argument.as_ref();
            wire.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            wire.extend_from_slice(argument);
            wire.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&wire)
    }

    /// The next reply or message.
    pub fn receive(&mut self) -> io::Result<Value> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\r\n") {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        line.truncate(line.len() - 2);
        let (kind, rest) = line.split_first().ok_or(io::ErrorKind::InvalidData)?;
        let rest = String::from_utf8_lossy(rest).into_owned();
        let length = || rest.parse::<i64>().map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        Ok(match kind {
            b'+' => Value::Status(rest),
            b'-' => Value::Error(rest),
            b':' => Value::Int(length()?),
            b'_' => Value::Nil,
            b'$' | b'=' | b'!' => match usize::try_from(length()?) {
                Err(_) => Value::Nil,
                Ok(length) => self.receive_bulk(*kind, length)?,
            },
            b'*' | b'~' | b'>' => match usize::try_from(length()?) {
                Err(_) => Value::Nil,
                Ok(length) => self.receive_items(*kind, length)?,
            },
            b'%' => {
                let pairs = (0..length()?).map(|_| Ok((self.receive()?, self.receive()?)));
                Value::Map(pairs.collect::<io::Result<_>>()?)
            }
            other => Value::Scalar(char::from(*other), rest),
        })
    }

    fn receive_bulk(&mut self, kind: u8, length: usize) -> io::Result<Value> {
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(match kind {
            b'!' => Value::Error(String::from_utf8_lossy(&bytes).into_owned()),
            // `txt:` in front of a verbatim string
            b'=' => Value::Bulk(bytes.split_off(4)),
            _ => Value::Bulk(bytes),
        })
    }

    fn receive_items(&mut self, kind: u8, length: usize) -> io::Result<Value> {
        let items = (0..length).map(|_| self.receive()).collect::<io::Result<Vec<_>>>()?;
        Ok(match kind {
            b'~' => Value::Set(items),
            b'>' => Value::Push(items),
            _ => Value::Array(items),
        })
    }

    /// Sends a command and waits for its reply, which may be an error of the server's.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Value> {
        self.send(arguments)?;
        self.receive()
    }

    /// As [`Conn::try_call`] where the connection must hold.
    pub fn call<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Value {
        self.try_call(arguments).unwrap_or_else(|error| {
            let words: Vec<_> = arguments.iter().map(|a| String::from_utf8_lossy(a.as_ref())).collect();
            panic!("no reply to {words:?}: {error}")
        })
    }

    /// A command of words without blanks; the reply may be an error.
    pub fn raw(&mut self, line: &str) -> Value {
        self.call(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// A command of words without blanks that must succeed.
    pub fn run(&mut self, line: &str) -> Value {
        let reply = self.raw(line);
        assert!(!reply.is_error(), "{line}\n  -> {reply:?}");
        reply
    }

    /// The code of the error that a command must answer.
    pub fn code(&mut self, line: &str) -> String {
        let reply = self.raw(line);
        assert!(reply.is_error(), "{line}\n  must be refused, got {reply:?}");
        reply.code().to_owned()
    }

    /// The next published message: channel and text.
    pub fn message(&mut self) -> (String, String) {
        let message = self.receive().unwrap_or_else(|error| panic!("no message: {error}"));
        let parts = message.items();
        assert_eq!(parts[0].text(), "message", "{message:?}");
        (parts[1].text(), parts[2].text())
    }
}
