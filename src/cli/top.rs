//! `firstcome top`: the essentials of a running server, live in a terminal.
//!
//! It reads `/metrics` once a second, and one drop's route if asked to: that is all the server notices of it. A thread
//! of its own asks (`watch`), so that the screen answers to keys however long an answer takes; `view` makes figures of
//! pages, `draw` cells of figures, and neither of them knows a terminal.

mod draw;
mod view;
mod watch;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::client::http::block_on;
use crate::exit::Exit;
use crate::output;
use view::{Contact, Looks};
use watch::{Answer, Asking, Watch};

const EXAMPLES: &str = "Examples:
  firstcome top                              the server on this machine; q leaves
  firstcome top --admin 10.0.0.5:8081        another one's admin listener
  firstcome top --drop 7                     one drop, with its name and state
  firstcome top --once                       one screen as text, for a pipe; takes two seconds

Rates and percentiles are those of the last five seconds. A server that does not answer is said so, and is asked again.
Where operators have tokens, it needs one (a viewer's will do) in the variable FIRSTCOME_TOKEN.
Exit code: 0; with --once 69 if there is no server, it refuses, or there is no such drop.";

/// How long a key may wait to be noticed.
const KEYS_EVERY: Duration = Duration::from_millis(100);

/// `top`'s flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TopArgs {
    /// The server's admin listener: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
    /// One drop
    #[arg(long, value_name = "ID", value_parser = value_parser!(u32).range(1..))]
    drop: Option<u32>,
    /// The server's public listener, for --drop
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    public: String,
    /// One screen as text instead of a live one; so it is where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Trust this authority (PEM) besides the web's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = value_parser!(u8).range(1..=60))]
    every: u8,
}

/// Shows a running server until somebody leaves.
///
/// # Errors
/// 64, or 69 with `--once`; 74 if the terminal fails.
pub fn run(args: &TopArgs) -> Result<(), Exit> {
    let asking = Asking::new(&args.admin, &args.public, args.drop, args.ca.as_deref())?;
    let every = Duration::from_secs(args.every.into());
    if args.once || !std::io::stdout().is_terminal() {
        return once(asking, every);
    }
    if let Err(none) = block_on(async { Ok(asking.drop().await) })?
        && none.is_final
    {
        return Err(none.exit);
    }
    let watch = Watch::start(asking.clone(), every)?;
    // From here on a panic puts the terminal right, too.
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let ended = live(&mut terminal, &watch, &asking.server());
    let restored = ratatui::try_restore().map_err(no_terminal);
    watch.stop();
    ended.and(restored)
}

fn no_terminal(error: std::io::Error) -> Exit {
    Exit::disk(format!("the terminal: {error}"))
}

/// Two looks, since rates need two, and what they show.
fn once(asking: Asking, every: Duration) -> Result<(), Exit> {
    let start = Instant::now();
    let mut looks = Looks::default();
    let (before, after) = block_on(async {
        let before = asking.look(start).await.map_err(|none| none.exit)?;
        // The server hands its figures over once a second: what is asked for sooner may not have changed.
        tokio::time::sleep(every.max(Duration::from_secs(2))).await;
        Ok((before, asking.look(start).await.map_err(|none| none.exit)?))
    })?;
    looks.push(before);
    looks.push(after);
    let server = asking.server();
    let view = looks.view(&server, Contact::Fresh);
    let lines = draw::plain(view.as_ref(), &server, &Contact::Fresh);
    // The second one says which key leaves: there are no keys here.
    for (_, line) in lines.iter().enumerate().filter(|(at, _)| *at != 1) {
        output::line(line);
    }
    Ok(())
}

/// Draws what comes until somebody leaves, or a signal says so.
fn live(terminal: &mut DefaultTerminal, watch: &Watch, server: &str) -> Result<(), Exit> {
    let mut looks = Looks::default();
    let mut contact = Contact::Waiting;
    let mut silent_since: Option<Instant> = None;
    let mut why = String::new();
    loop {
        while let Some(answer) = watch.next()? {
            match answer {
                Answer::Look(look) => {
                    looks.push(look);
                    (contact, silent_since) = (Contact::Fresh, None);
                }
                Answer::None(told) => {
                    why = told;
                    silent_since.get_or_insert_with(Instant::now);
                }
                Answer::Leave => return Ok(()),
            }
        }
        if let Some(since) = silent_since {
            contact = Contact::Gone { why: why.clone(), for_seconds: since.elapsed().as_secs() };
        }
        let view = looks.view(server, contact.clone());
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(view.as_ref(), server, &contact, area, frame.buffer_mut());
        });
        drawn.map_err(no_terminal)?;
        if is_asked_to_leave().map_err(no_terminal)? {
            return Ok(());
        }
    }
}

/// Waits for a key, but not for long.
fn is_asked_to_leave() -> std::io::Result<bool> {
    Ok(event::poll(KEYS_EVERY)? && leaves(&event::read()?))
}

/// q, Escape and Ctrl-C: in raw mode that is a key like others.
fn leaves(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn q_escape_and_control_c_leave_and_nothing_else_does() {
        let pressed = |code, modifiers| leaves(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(pressed(KeyCode::Char('q'), KeyModifiers::NONE) && pressed(KeyCode::Esc, KeyModifiers::NONE));
        assert!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!pressed(KeyCode::Char('c'), KeyModifiers::NONE) && !leaves(&Event::Resize(80, 24)));
    }
}
