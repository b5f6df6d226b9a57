//! The desk: the one thread for everything longer than a point read. It has its own connection, serves the admin
//! listener, and takes questions from the serving threads, so that a list never delays an order.

use tokio::sync::{mpsc, oneshot};

use crate::read::Reader;

/// Questions that wait, at most; more are turned away.
const QUESTIONS_MAX: usize = 256;

type Question = Box<dyn FnOnce(&Reader) + Send>;

/// The way to the desk.
#[derive(Clone)]
pub struct Desk(mpsc::Sender<Question>);

/// The desk's end of it.
pub struct DeskWork(mpsc::Receiver<Question>);

/// Too many questions wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeskBusy;

impl Desk {
    /// A desk that nobody sits at yet.
    #[must_use]
    pub fn new() -> (Desk, DeskWork) {
        let (sender, receiver) = mpsc::channel(QUESTIONS_MAX);
        (Desk(sender), DeskWork(receiver))
    }

    /// Asks a question.
    ///
    /// # Errors
    /// If too many wait, or the desk has closed.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, DeskBusy> {
        let (sender, receiver) = oneshot::channel();
        let question: Question = Box::new(move |reader| {
            // Who left does not want the answer any more.
            let _left = sender.send(question(reader));
        });
        self.0.try_send(question).map_err(|_| DeskBusy)?;
        receiver.await.map_err(|_| DeskBusy)
    }
}

impl DeskWork {
    /// Answers one question after another, letting the thread's other tasks in between.
    pub async fn work(mut self, reader: &Reader) {
        while let Some(question) = self.0.recv().await {
            question(reader);
            tokio::task::yield_now().await;
        }
    }
}
