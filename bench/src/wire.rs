//! The Redis protocol, as little of it as a load generator needs: commands encoded once, replies counted and summed.

/// Appends a command.
pub(crate) fn encode<A: AsRef<[u8]>>(wire: &mut Vec<u8>, arguments: impl IntoIterator<Item = A>) {
    let arguments: Vec<_> = arguments.into_iter().collect();
    wire.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        let argument = argument.as_ref();
        wire.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        wire.extend_from_slice(argument);
        wire.extend_from_slice(b"\r\n");
    }
}

/// A command of words without blanks, as bytes.
pub(crate) fn words(line: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(&mut wire, line.split_whitespace());
    wire
}

/// What was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Replies to commands.
    pub(crate) replies: u64,
    /// All integers in them.
    pub(crate) sum: i64,
}

/// Takes the whole replies off the front of `bytes`; answers how many bytes they were. An error reply is an `Err`: a
/// benchmark of refusals would measure nothing.
pub(crate) fn take_replies(bytes: &[u8], tally: &mut Tally) -> Result<usize, String> {
    let mut at = 0;
    while let Some((next, sum)) = reply(bytes, at)? {
        tally.replies += 1;
        tally.sum += sum;
        at = next;
    }
    Ok(at)
}

/// Where the reply that begins at `at` ends, and the integers in it; `None` where its end is not there yet.
fn reply(bytes: &[u8], at: usize) -> Result<Option<(usize, i64)>, String> {
    let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let (line, next) = (&bytes[at..at + length - 1], at + length + 1);
    let number = || {
        let text = std::str::from_utf8(&line[1..]).unwrap_or_default();
        text.parse::<i64>().map_err(|_| format!("not a number in a reply: {text}"))
    };
    match line.first() {
        Some(b'+' | b'_') => Ok(Some((next, 0))),
        Some(b':') => Ok(Some((next, number()?))),
        Some(b'-') => Err(String::from_utf8_lossy(&line[1..]).into_owned()),
        Some(b'$') => {
            let end = next + usize::try_from(number()?).map_or(0, |length| length + 2);
            Ok((end <= bytes.len()).then_some((end, 0)))
        }
        Some(b'*') => {
            let (mut end, mut sum) = (next, 0);
            for _ in 0..number()? {
                let Some((next, more)) = reply(bytes, end)? else { return Ok(None) };
                (end, sum) = (next, sum + more);
            }
            Ok(Some((end, sum)))
        }
        other => Err(format!("an unknown kind of reply: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: &[u8] = b"+OK\r\n:7\r\n$5\r\na\r\nbc\r\n*3\r\n:2\r\n$-1\r\n*1\r\n:-1\r\n*-1\r\n";

    #[test]
    fn replies_are_counted_and_their_integers_summed() {
        let mut tally = Tally::default();
        assert_eq!(take_replies(REPLIES, &mut tally), Ok(REPLIES.len()));
        assert_eq!(tally, Tally { replies: 5, sum: 8 });
    }

    #[test]
    fn a_reply_cut_anywhere_waits_for_its_rest() {
        for cut in 0..REPLIES.len() {
            let mut tally = Tally::default();
            let taken = take_replies(&REPLIES[..cut], &mut tally).unwrap();
            assert!(taken <= cut);
            assert_eq!(take_replies(&REPLIES[taken..], &mut tally), Ok(REPLIES.len() - taken), "cut at {cut}");
            assert_eq!(tally, Tally { replies: 5, sum: 8 }, "cut at {cut}");
        }
    }

    #[test]
    fn an_error_stops_the_measurement_wherever_it_stands() {
        for error in [&b"-ERR no\r\n"[..], b"*2\r\n:1\r\n-ERR no\r\n"] {
            assert_eq!(take_replies(error, &mut Tally::default()), Err("ERR no".to_owned()));
        }
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        assert_eq!(words("SET a  25"), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n25\r\n");
    }
}
