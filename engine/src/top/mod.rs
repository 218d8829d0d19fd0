//! `top`: what goes on, live on a terminal; one snapshot where there is none.
//!
//! It asks the running engine (`GET /health`) and Redis, and changes nothing. While one of them is away it shows what the
//! other says.

mod look;
mod view;

use crate::cli::{Output, TopArgs};
use crate::config::Settings;
use crate::link::Link;
use crate::run::StopSignal;
use color_eyre::Result;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, terminal};
use look::{Look, Looker};
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// Rows of a snapshot that no terminal limits.
const SNAPSHOT_ROWS: usize = 1_000;

/// Columns and rows of a terminal that does not tell them.
const FALLBACK_SIZE: (u16, u16) = (100, 30);

/// Shows until the user ends it, or prints one snapshot.
///
/// # Errors
/// Where the Redis URL is not usable, or the terminal cannot be used. A server that is away is shown, not an error.
pub async fn run(args: &TopArgs, settings: &Settings, output: Output) -> Result<ExitCode> {
    let mut looker = Looker::new(&Link::lazy(settings)?, settings.http.addr)?;
    let interval = Duration::from_millis(args.interval_ms);
    if output == Output::Json || args.once || !io::stdout().is_terminal() {
        return snapshot(&mut looker, interval, output).await;
    }
    live(&mut looker, interval).await.map(|()| ExitCode::SUCCESS)
}

/// Two looks, because a rate needs them.
async fn snapshot(looker: &mut Looker, interval: Duration, output: Output) -> Result<ExitCode> {
    looker.look().await;
    tokio::time::sleep(interval).await;
    let look = looker.look().await;
    let text = match output {
        Output::Json => look.as_json().to_string(),
        Output::Table => view::lines(&look, SNAPSHOT_ROWS).join("\n"),
    };
    // A reader that went away (`| head`) is no error.
    let _ = writeln!(io::stdout(), "{text}");
    Ok(if look.is_blind() { crate::failure::Exit::Unavailable.into() } else { ExitCode::SUCCESS })
}

/// The terminal as `top` needs it, and as it was when it goes out of scope.
struct Screen;

impl Screen {
    fn take() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    fn draw(look: &Look) -> io::Result<()> {
        // A terminal that does not say its size says 0.
        let (columns, rows) = match terminal::size()? {
            (0, _) | (_, 0) => FALLBACK_SIZE,
            size => size,
        };
        let mut out = io::stdout().lock();
        queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for line in view::lines(look, usize::from(rows)).iter().take(usize::from(rows)) {
            let line: String = line.chars().take(usize::from(columns)).collect();
            queue!(out, terminal::Clear(terminal::ClearType::CurrentLine))?;
            write!(out, "{line}")?;
            queue!(out, cursor::MoveToNextLine(1))?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

async fn live(looker: &mut Looker, interval: Duration) -> Result<()> {
    let mut stop = StopSignal::new()?;
    let _screen = Screen::take()?;
    loop {
        tokio::select! {
            look = looker.look() => Screen::draw(&look)?,
            () = stop.received() => return Ok(()),
        }
        let key = tokio::task::spawn_blocking(move || ends(interval));
        tokio::select! {
            ends = key => if ends?? { return Ok(()) },
            () = stop.received() => return Ok(()),
        }
    }
}

/// Waits so long for a key; whether it was one that ends it.
fn ends(interval: Duration) -> io::Result<bool> {
    if !event::poll(interval)? {
        return Ok(false);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        }
        // A new size is drawn at once.
        _ => false,
    })
}
