//! JSON, read with other eyes: by hand, forgivingly, and numbers as they are written.

/// Nesting beyond this is not read.
const DEPTH_MAX: usize = 200;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    /// A number, `true`, `false` or `null`, as it is written.
    Word(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of a message, whatever follows it; `None` for what cannot be read here.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Reader { bytes, at: 0 }.value(0)
    }

    /// What stands under a name that stands there once.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        let mut found = fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        found.next().filter(|_| found.next().is_none())
    }

    /// A text, or a number as it is written.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// [`Self::get`] and [`Self::scalar`] in one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.scalar()
    }

    /// The items of a list, or the value alone.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            value => std::slice::from_ref(value),
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_blanks();
        match self.peek()? {
            _ if depth > DEPTH_MAX => None,
            b'"' => self.text().map(Json::Text),
            b'[' => self.list(b']', |reader| reader.value(depth + 1)).map(Json::List),
            b'{' => self.list(b'}', |reader| reader.field(depth)).map(Json::Object),
            _ => self.word().map(Json::Word),
        }
    }

    fn field(&mut self, depth: usize) -> Option<(String, Json)> {
        self.skip_blanks();
        let name = self.text()?;
        self.take(b':').then(|| Some((name, self.value(depth + 1)?)))?
    }

    /// Behind the opening bracket, up to the closing one.
    fn list<T>(&mut self, close: u8, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(close) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.take(close) {
                return Some(items);
            }
            self.take(b',').then_some(())?;
        }
    }

    fn word(&mut self) -> Option<String> {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:[]{}\"".contains(byte);
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += length;
        (length > 0).then(|| String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn text(&mut self) -> Option<String> {
        self.take(b'"').then_some(())?;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' => self.escaped(&mut bytes)?,
                byte => bytes.push(byte),
            }
        }
    }

    fn escaped(&mut self, into: &mut Vec<u8>) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'u' => {
                let code = std::str::from_utf8(self.bytes.get(self.at..self.at + 4)?).ok()?;
                self.at += 4;
                // Halves of a pair are no matter here: nothing that is compared has them.
                let character = char::from_u32(u32::from_str_radix(code, 16).ok()?).unwrap_or('\u{fffd}');
                into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'n' => into.push(b'\n'),
            b't' => into.push(b'\t'),
            b'r' => into.push(b'\r'),
            b'b' => into.push(8),
            b'f' => into.push(12),
            other => into.push(other),
        }
        Some(())
    }
}

#[test]
fn values_are_read_as_they_are_written() {
    let json = Json::read(br#" {"a":[1.50,"x\u0041\/",true],"b":{"c":-0e1},"d":1,"d":2,"e":[],"f":{}} rest"#).unwrap();
    let list = json.get("a").unwrap().items();
    assert_eq!(list.iter().map(|item| item.scalar().unwrap()).collect::<Vec<_>>(), ["1.50", "xA/", "true"]);
    assert_eq!(json.get("b").and_then(|b| b.text("c")), Some("-0e1"));
    assert_eq!((json.get("d"), json.get("g"), json.text("a")), (None, None, None));
    for text in ["", "[1", "{\"a\"}", "\"a", "[1,]", "{1:2}", "\"\\u12\""] {
        assert_eq!(Json::read(text.as_bytes()), None, "{text}");
    }
    assert_eq!(Json::read(&[b'['; 100_000]), None, "as deep as it likes");
}
