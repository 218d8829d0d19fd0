//! Commands as lines of text: the corpus, and what led to a failure.
//!
//! One command a line, its words separated by single blanks. In a word `\s` is a blank, `\e` stands for an empty word,
//! `\n`, `\r`, `\\` and `\xHH` are what they are elsewhere, and `\z{n}` stands for `n` letters `z`. A line may begin with `@n `: the
//! connection that sends it. Empty lines and lines that begin with `#` are passed over.

/// Words of a command.
pub(super) type Words = Vec<Vec<u8>>;

/// Longest run of one letter that is written in full.
const RUN_MAX: usize = 200;

/// A line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) connection: usize,
    pub(super) words: Words,
}

/// The lines of a script.
pub(super) fn parse(script: &str) -> Vec<Line> {
    let lines = script.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse_line(line).unwrap_or_else(|| panic!("not a line of a script: {line}"))).collect()
}

fn parse_line(line: &str) -> Option<Line> {
    let (connection, words) = match line.strip_prefix('@') {
        Some(rest) => rest.split_once(' ').and_then(|(number, words)| Some((number.parse().ok()?, words)))?,
        None => (0, line),
    };
    Some(Line { connection, words: words.split(' ').map(word).collect::<Option<_>>()? })
}

fn word(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escape.len_utf8()..];
        match escape {
            's' => bytes.push(b' '),
            'e' => {}
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                rest = &rest[2..];
            }
            'z' => {
                let (count, behind) = rest.strip_prefix('{')?.split_once('}')?;
                bytes.extend(std::iter::repeat_n(b'z', count.parse().ok()?));
                rest = behind;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// A command as a line.
pub(super) fn format(line: &Line) -> String {
    let words: Vec<_> = line.words.iter().map(|word| format_word(word)).collect();
    format!("@{} {}", line.connection, words.join(" "))
}

fn format_word(word: &[u8]) -> String {
    if word.is_empty() {
        return "\\e".to_owned();
    }
    if word.len() > RUN_MAX && word.iter().all(|byte| *byte == b'z') {
        return format!("\\z{{{}}}", word.len());
    }
    let escaped = word.iter().map(|byte| match byte {
        b' ' => "\\s".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\\' => "\\\\".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    });
    escaped.collect()
}

#[test]
fn a_command_reads_back_as_it_was_written() {
    let words: Words = vec![
        b"SET".to_vec(),
        b"".to_vec(),
        b" a\r\n\\ \0\xff{}@#".to_vec(),
        vec![b'z'; 100_000],
        "\u{20ac}".as_bytes().to_vec(),
    ];
    let line = Line { connection: 3, words };
    let text = format(&line);
    assert!(text.len() < 200 && text.is_ascii(), "{text}");
    assert_eq!(parse(&format!("# a note\n\n{text}\n")), [line]);
}
