//! What happened, line by line, for whoever replays a failing seed.

/// Lines of one schedule; costs nothing unless somebody wants to read them.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    on: bool,
    lines: Vec<String>,
}

impl Trace {
    pub(crate) const fn new(on: bool) -> Self {
        Self { on, lines: Vec::new() }
    }

    /// Adds a line, if anybody reads.
    pub(crate) fn say(&mut self, at_ms: i64, line: impl FnOnce() -> String) {
        if self.on {
            self.lines.push(format!("{at_ms:>7} ms  {}", line()));
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}
