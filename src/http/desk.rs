//! The desk: the one thread for everything longer than a point read. It has its own connection, serves the admin
//! listener, and takes questions from the serving threads, so that a list never delays an order.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::read::Reader;

/// Questions that wait, at most; more are turned away.
const QUESTIONS_MAX: usize = 256;

type Question = Box<dyn FnOnce(&Reader) + Send>;

/// The way to the desk.
#[derive(Clone)]
pub struct Desk {
    questions: mpsc::Sender<Question>,
    answer_within: Duration,
}

/// The desk's end of it.
pub struct DeskWork(mpsc::Receiver<Question>);

/// Too many questions wait, or one waited too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeskBusy;

impl Desk {
    /// A desk that nobody sits at yet.
    #[must_use]
    pub fn new(answer_within: Duration) -> (Desk, DeskWork) {
        let (questions, receiver) = mpsc::channel(QUESTIONS_MAX);
        (Desk { questions, answer_within }, DeskWork(receiver))
    }

    /// Asks a question.
    ///
    /// # Errors
    /// If too many wait, the answer is late, or the desk has closed.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, DeskBusy> {
        let (sender, receiver) = oneshot::channel();
        let question: Question = Box::new(move |reader| {
            // Who left, or was told that it takes too long, does not want the answer any more.
            if !sender.is_closed() {
                let _left = sender.send(question(reader));
            }
        });
        self.questions.try_send(question).map_err(|_| DeskBusy)?;
        let answer = tokio::time::timeout(self.answer_within, receiver).await;
        answer.map_err(|_| DeskBusy)?.map_err(|_| DeskBusy)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_nobody_answers_in_time_is_told_so() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (desk, _nobody_works) = Desk::new(Duration::from_millis(5));
        assert_eq!(runtime.block_on(desk.ask(|_| ())), Err(DeskBusy));
    }
}
