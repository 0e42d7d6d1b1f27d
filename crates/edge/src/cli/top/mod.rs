//! `thalweg top`: a running edge live in the terminal. It reads the live stream of the admin server and changes nothing.
//! `watch` reads the stream, `state` keeps what it said, `rows` puts that into rows with the worst first, `place` is
//! the operator's position in them, `screen` draws. `top` restores the terminal however it ends.

mod place;
mod rows;
mod screen;
mod state;
mod watch;

use std::{io::IsTerminal, time::Duration};

use place::{Place, Pressed};
use ratatui::{DefaultTerminal, crossterm::event};
use state::TopState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::interval,
};
use watch::News;

use super::{
    args::AdminArgs,
    client::Problem,
    terminal::{exit, say},
};

/// Ages on the screen move at least this often.
const TICK: Duration = Duration::from_millis(500);

/// Runs until the operator quits.
pub(super) fn run(admin: &AdminArgs) -> u8 {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        say("`top` needs a terminal; `thalweg status` prints the same once");
        return exit::CONFIG;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(show(admin));
            // The thread that reads keys still waits for one.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Problem::Edge(error.to_string())),
    };
    outcome.map_or_else(|problem| problem.tell(), |()| exit::FINE)
}

async fn show(admin: &AdminArgs) -> Result<(), Problem> {
    // Before the screen is taken: if the edge cannot be reached, one line says so, as for every command.
    let first = watch::open(admin).await?;
    let (sender, mut news) = mpsc::channel(256);
    let reader = tokio::spawn(watch::run(admin.clone(), first, sender));
    let machine = |error: std::io::Error| Problem::Edge(error.to_string());
    let mut terminal = ratatui::try_init().map_err(machine)?;
    let outcome = watch_until_told(&mut terminal, &mut news).await.map_err(machine);
    ratatui::restore();
    reader.abort();
    outcome
}

/// Draws until the operator quits or a signal asks for it.
async fn watch_until_told(
    terminal: &mut DefaultTerminal,
    news: &mut mpsc::Receiver<News>,
) -> std::io::Result<()> {
    let mut told = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(terminate), Ok(interrupt), Ok(hangup)] = &mut told else {
        return Err(std::io::Error::other("signals cannot be heard"));
    };
    let mut pressed = keys();
    let mut tick = interval(TICK);
    let (mut state, mut place) = (TopState::default(), Place::default());
    let style = screen::Palette::of_environment();
    loop {
        terminal.draw(|frame| screen::draw(frame, &state, &mut place, style))?;
        tokio::select! {
            event = pressed.recv() => match event.map(|event| place.press(&event, &state)) {
                Some(Pressed::Quit) | None => return Ok(()),
                Some(Pressed::Redraw) => {}
            },
            some = news.recv() => match some {
                Some(some) => state.take(some),
                None => return Ok(()),
            },
            _ = tick.tick() => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        // One drawing for all that has come: a new stream begins with a thousand entries.
        while let Ok(some) = news.try_recv() {
            state.take(some);
        }
    }
}

/// Keys and resizes, read by a thread of their own: reading them blocks.
fn keys() -> mpsc::Receiver<event::Event> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    receiver
}
