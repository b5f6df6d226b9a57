//! `firstcome top`: shows a running server live in a terminal.
//!
//! It reads `/metrics` once a second, and the route of one drop with `--drop`. A thread of its own polls the server
//! (`poller`), so that the screen responds to keys while a response is slow. `view` computes figures from pages and `draw`
//! renders them into cells; neither uses a terminal.

mod draw;
mod poller;
mod view;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::client::http::block_on;
use crate::exit::Exit;
use crate::output;
use poller::{PollResult, Poller, Source};
use view::{ConnectionState, History};

const EXAMPLES: &str = "Examples:
  firstcome top                              the server on this machine; q quits
  firstcome top --admin 10.0.0.5:8081        the admin listener of another server
  firstcome top --drop 7                     one drop, with its name and state
  firstcome top --once                       one screen as text; takes two seconds

Rates and percentiles are of the last five seconds. If the server does not respond, the screen says so and top keeps trying.

If operators have tokens, set FIRSTCOME_TOKEN to a token; the role viewer is enough.

Exit codes: 0; with --once 69 if the server is unreachable or refuses, or there is no such drop.";

/// Interval at which keys are polled.
const KEYS_EVERY: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TopArgs {
    /// Admin listener of the server: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
    /// Show only the drop with this id
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    drop: Option<u32>,
    /// Public listener of the server, for --drop
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    public: String,
    /// Print one screen as text and exit; the default if standard output is not a terminal
    #[arg(long)]
    once: bool,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Seconds between two reads of the metrics
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = value_parser!(u8).range(1..=60))]
    every: u8,
}

/// Shows a running server until the operator quits.
///
/// # Errors
/// 64, or 69 with `--once`; 74 if the terminal fails.
pub fn run(args: &TopArgs) -> Result<(), Exit> {
    let source = Source::new(&args.admin, &args.public, args.drop, args.ca.as_deref())?;
    let every = Duration::from_secs(args.every.into());
    if args.once || !std::io::stdout().is_terminal() {
        return once(source, every);
    }
    if let Err(failure) = block_on(async { Ok(source.drop().await) })?
        && failure.is_final
    {
        return Err(failure.exit);
    }
    let poller = Poller::start(source.clone(), every)?;
    // From here on a panic restores the terminal, too.
    let mut terminal = ratatui::try_init().map_err(terminal_error)?;
    let ended = run_screen(&mut terminal, &poller, &source.server());
    let restored = ratatui::try_restore().map_err(terminal_error);
    poller.stop();
    ended.and(restored)
}

fn terminal_error(error: std::io::Error) -> Exit {
    Exit::disk(format!("the terminal: {error}"))
}

/// Prints the screen of two samples; rates need two.
fn once(source: Source, every: Duration) -> Result<(), Exit> {
    let start = Instant::now();
    let mut history = History::default();
    let (before, after) = block_on(async {
        let before = source.sample(start).await.map_err(|failure| failure.exit)?;
        // The server updates its metrics once a second.
        tokio::time::sleep(every.max(Duration::from_secs(2))).await;
        Ok((before, source.sample(start).await.map_err(|failure| failure.exit)?))
    })?;
    history.push(before);
    history.push(after);
    let server = source.server();
    let view = history.view(&server, ConnectionState::Fresh);
    let lines = draw::plain(view.as_ref(), &server, &ConnectionState::Fresh);
    // The second line names the key to quit, which does not apply here.
    for (_, line) in lines.iter().enumerate().filter(|(at, _)| *at != 1) {
        output::line(line);
    }
    Ok(())
}

/// Draws samples until the operator quits or a signal arrives.
fn run_screen(terminal: &mut DefaultTerminal, poller: &Poller, server: &str) -> Result<(), Exit> {
    let mut history = History::default();
    let mut state = ConnectionState::Waiting;
    let mut silent_since: Option<Instant> = None;
    let mut reason = String::new();
    loop {
        while let Some(result) = poller.next()? {
            match result {
                PollResult::Sample(sample) => {
                    history.push(sample);
                    (state, silent_since) = (ConnectionState::Fresh, None);
                }
                PollResult::Failed(error) => {
                    reason = error;
                    silent_since.get_or_insert_with(Instant::now);
                }
                PollResult::Quit => return Ok(()),
            }
        }
        if let Some(since) = silent_since {
            state = ConnectionState::Lost { reason: reason.clone(), for_seconds: since.elapsed().as_secs() };
        }
        let view = history.view(server, state.clone());
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(view.as_ref(), server, &state, area, frame.buffer_mut());
        });
        drawn.map_err(terminal_error)?;
        if is_quit_requested().map_err(terminal_error)? {
            return Ok(());
        }
    }
}

/// Waits up to `KEYS_EVERY` for a key.
fn is_quit_requested() -> std::io::Result<bool> {
    Ok(event::poll(KEYS_EVERY)? && quits(&event::read()?))
}

/// True for q, Escape and Ctrl-C, which is an ordinary key in raw mode.
fn quits(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_escape_and_control_c_quit_and_nothing_else_does() {
        let pressed = |code, modifiers| quits(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(pressed(KeyCode::Char('q'), KeyModifiers::NONE) && pressed(KeyCode::Esc, KeyModifiers::NONE));
        assert!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!pressed(KeyCode::Char('c'), KeyModifiers::NONE) && !quits(&Event::Resize(80, 24)));
    }
}
