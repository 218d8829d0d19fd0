//! Calling Redis commands from the module.

use redis_module::{CallOptions, CallOptionsBuilder, CallReply, CallResult, Context, RedisString};

thread_local! {
    static READ: CallOptions = CallOptionsBuilder::new().errors_as_replies().build();
    static WRITE: CallOptions = CallOptionsBuilder::new().replicate().errors_as_replies().build();
}

/// An owned reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Integer(i64),
    Bytes(Vec<u8>),
    Array(Vec<Reply>),
}

impl Reply {
    /// The bytes of a string reply.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of an array reply.
    pub(crate) fn into_array(self) -> Vec<Self> {
        match self {
            Self::Array(elements) => elements,
            _ => Vec::new(),
        }
    }

    /// The number of an integer reply, else 0.
    pub(crate) const fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            _ => 0,
        }
    }
}

/// Calls a command that only reads.
pub(crate) fn read(ctx: &Context, command: &str, args: &[&[u8]]) -> Result<Reply, String> {
    READ.with(|options| owned(ctx.call_ext::<_, CallResult<'static>>(command, options, args)))
}

/// Calls a command that writes, and sends it to the AOF and the replicas. All writes of one command form one MULTI/EXEC.
pub(crate) fn write(ctx: &Context, command: &str, args: &[&[u8]]) -> Result<Reply, String> {
    WRITE.with(|options| owned(ctx.call_ext::<_, CallResult<'static>>(command, options, args)))
}

/// As [`write`], with arguments that are strings of the server already, and no look at the reply.
pub(crate) fn write_strings(ctx: &Context, command: &str, args: &[&RedisString]) -> Result<(), String> {
    WRITE.with(|options| match ctx.call_ext::<_, CallResult<'static>>(command, options, args) {
        Ok(_) => Ok(()),
        Err(error) => Err(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    })
}

/// A string of the server.
pub(crate) fn string(bytes: &[u8]) -> RedisString {
    RedisString::create_from_slice(std::ptr::null_mut(), bytes)
}

fn owned(result: CallResult<'_>) -> Result<Reply, String> {
    match result {
        Ok(reply) => Ok(convert(&reply)),
        Err(error) => Err(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn convert(reply: &CallReply<'_>) -> Reply {
    match reply {
        CallReply::I64(number) => Reply::Integer(number.to_i64()),
        CallReply::String(text) => Reply::Bytes(text.as_bytes().to_vec()),
        CallReply::Array(array) => {
            Reply::Array(array.iter().map(|element| element.map_or(Reply::Nil, |element| convert(&element))).collect())
        }
        _ => Reply::Nil,
    }
}
