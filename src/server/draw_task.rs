//! The task that draws: it computes the roots and the orders of draws beside the writer, in short steps on the query thread,
//! and submits what it has computed. Its reads show what is durable, so a kill at any moment leaves a draw that it goes on
//! with, and one that is done is never drawn again: the engine repeats its answer.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::engine::draw::{DrawRun, DrawStep, Drawn, TicketSet, TreeBuilder};
use crate::engine::{Command, FinishDraw, FinishedDraw, OUTCOME_NAMES, Outcome, PreparedDraw, Refusal, RoomCommand};
use crate::failpoints::{self, PausePoint};
use crate::http::worker::Worker;
use crate::read::DrawRow;
use crate::read::draws::{running_draws, seed_of_ready_draw, ticket_digests};
use crate::telemetry::PanicMeter;
use crate::telemetry::panics::RESTART_PAUSE;
use crate::types::draw::{TICKETS_PER_READ, TICKETS_PER_STEP};
use crate::types::{Beacon, DrawState, DropId, MerkleRoot};
use crate::writer::{Class, Submission, WriterReply};

/// Interval of the looks for draws to go on with.
const LOOK: Duration = Duration::from_millis(50);
/// Pause after a step that was not done, so that a server that cannot write is not asked all the time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Draws until the runtime ends. After a panic it looks again.
pub(super) async fn supervise(worker: Rc<Worker>) {
    let panics = PanicMeter::new(&worker.server.telemetry, "fc-draw");
    loop {
        match tokio::task::spawn_local(keep_drawing(Rc::clone(&worker))).await {
            Err(ended) if ended.is_panic() => panics.note(&*ended.into_panic()),
            // The runtime ends.
            Ok(()) | Err(_) => return,
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Looks for draws that have a step to be done, and does each in a task of its own: a small draw need not wait for a large one.
async fn keep_drawing(worker: Rc<Worker>) {
    let (mut seen, mut steps, mut busy) = (None, JoinSet::new(), BTreeSet::new());
    loop {
        failpoints::panic_in("fc-draw");
        while let Some(ended) = steps.try_join_next() {
            match ended {
                Ok(drop_id) => {
                    busy.remove(&drop_id);
                    seen = None;
                }
                Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
                // The runtime ends.
                Err(_) => return,
            }
        }
        let seq = worker.writer.published.seq();
        // Draws are rare, and every change of one is an event.
        if seen != Some(seq) && worker.writer.may_act() {
            match worker.reader.read(running_draws) {
                Ok(running) => {
                    for draw in running {
                        if has_step(&draw) && busy.insert(draw.drop_id) {
                            steps.spawn_local(step(Rc::clone(&worker), draw));
                        }
                    }
                    seen = Some(seq);
                }
                Err(error) => {
                    tracing::error!(%error, "a read of the draws failed");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn has_step(draw: &DrawRow) -> bool {
    match draw.state() {
        DrawState::Fixing | DrawState::Drawing => true,
        DrawState::Pending | DrawState::AwaitingBeacon | DrawState::Drawn | DrawState::Cancelled => false,
    }
}

/// Does the next step of a draw. Returns its drop.
async fn step(worker: Rc<Worker>, draw: DrawRow) -> DropId {
    if !go_on(&worker, &draw).await {
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    draw.drop_id
}

/// Does the next step of a draw, if there is one. Returns whether nothing is left to be done now.
async fn go_on(worker: &Worker, draw: &DrawRow) -> bool {
    let command = match draw.state() {
        DrawState::Pending | DrawState::AwaitingBeacon | DrawState::Drawn | DrawState::Cancelled => return true,
        DrawState::Fixing => root_of(worker, draw).await.map(|root| {
            failpoints::pause(PausePoint::BeforeTicketsFixed);
            RoomCommand::FixTickets { drop_id: draw.drop_id, root }
        }),
        DrawState::Drawing => finish(worker, draw).await.map(|finish| {
            failpoints::pause(PausePoint::BeforeDrawn);
            RoomCommand::FinishDraw(Box::new(finish))
        }),
    };
    match command {
        Ok(command) => submit(worker, draw, command).await,
        Err(error) => {
            tracing::error!(%error, drop_id = draw.drop_id.get(), "a read of the tickets of a draw failed");
            false
        }
    }
}

/// Computes the root over the tickets of a draw.
async fn root_of(worker: &Worker, draw: &DrawRow) -> rusqlite::Result<MerkleRoot> {
    let count = draw.tickets.unwrap_or(0);
    let mut tree = TreeBuilder::default();
    let mut done = 0;
    while done < count {
        let until = done.saturating_add(TICKETS_PER_READ).min(count);
        let digests = worker.reader.read(|connection| {
            ticket_digests(connection, &worker.writer.digest_key, draw.drop_id, &draw.commitment, done + 1..=until)
        })?;
        if u32::try_from(digests.len()) != Ok(until - done) {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        digests.iter().for_each(|digest| tree.push(digest));
        done = until;
        tokio::task::yield_now().await;
    }
    Ok(tree.finish().tickets().root())
}

/// Computes the order of a draw for which nothing is waited any more.
async fn finish(worker: &Worker, draw: &DrawRow) -> rusqlite::Result<FinishDraw> {
    let tickets = draw.tickets.zip(draw.root).and_then(|(count, root)| TicketSet::new(count, root));
    let seed = worker.reader.read(|connection| seed_of_ready_draw(connection, draw.drop_id))?;
    let (Some(tickets), Some(seed)) = (tickets, seed) else { return Err(rusqlite::Error::QueryReturnedNoRows) };
    let run = DrawRun::new(&tickets, &seed, draw.beacon.as_ref().unwrap_or(&Beacon::default()));
    let drawn = run_in_steps(run).await;
    let prepared = PreparedDraw::new(FinishedDraw { tickets, seed: seed.clone(), beacon: draw.beacon.clone(), drawn });
    Ok(FinishDraw { drop_id: draw.drop_id, seed, prepared })
}

async fn run_in_steps(mut run: DrawRun) -> Drawn {
    loop {
        match run.step(TICKETS_PER_STEP) {
            DrawStep::More(next) => run = next,
            DrawStep::Done(drawn) => return drawn,
        }
        tokio::task::yield_now().await;
    }
}

/// Submits a step. Returns whether it is done.
async fn submit(worker: &Worker, draw: &DrawRow, command: RoomCommand) -> bool {
    let drop_id = draw.drop_id.get();
    let submission = Submission { command: Command::Room(command), private_data: None, class: Class::Operator };
    let Ok(ticket) = worker.writer.submit(submission) else { return false };
    match ticket.answer().await {
        WriterReply::Decided(decided) => match decided.outcome {
            Outcome::Accepted(_) => {
                tracing::info!(drop_id, state = draw.state().as_str(), "a step of a draw is done");
                true
            }
            // The step was done before, or the drop has ended meanwhile or was paused; its resumption is an event.
            Outcome::Repeated { .. } | Outcome::Advanced => true,
            Outcome::Refused { refusal: Refusal::Ended { .. } | Refusal::DropPaused, .. } => true,
            Outcome::Refused { refusal, .. } => {
                let refusal = OUTCOME_NAMES.get(refusal.index()).copied().unwrap_or("");
                tracing::error!(drop_id, refusal, "a step of a draw was refused");
                false
            }
        },
        WriterReply::NotApplied(_) | WriterReply::TooOld | WriterReply::Unknown => false,
    }
}
