//! Deadlines of a connection, for both protocols. One timer per connection watches all of them, and is moved only when a
//! deadline comes nearer, so that a request costs no timer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::coop::has_budget_remaining;
use tokio::time::Sleep;

/// Time that a client may take to close its half of the connection after the last response.
pub const LINGER: Duration = Duration::from_secs(1);

/// Time that a client may take to end its part of a connection when the server stops.
pub const STOPPING_MAX: Duration = Duration::from_secs(1);

/// A deadline that the server notices so much later says nothing of the client: the process or its machine stood still, and
/// what has arrived meanwhile is not read yet.
const NOTICED_LATE: Duration = Duration::from_millis(250);

/// The timer's distance while nothing is due.
const FAR: Duration = Duration::from_secs(3600);

/// The start of a wait. It begins again once at most: a server that is late with every deadline, because it has too much to
/// do, must still close slow clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    since: Instant,
    has_begun_again: bool,
}

impl Wait {
    /// Returns a wait that begins now.
    #[must_use]
    pub const fn begun(now: Instant) -> Wait {
        Wait { since: now, has_begun_again: false }
    }

    /// Returns the wait begun again, or as it is if it has begun again before.
    #[must_use]
    pub fn again(self, now: Instant) -> Wait {
        if self.has_begun_again { self } else { Wait { since: now, has_begun_again: true } }
    }
}

/// Returns the deadline that comes first, and its cause. Each row is a wait, if the connection is waiting for that, its
/// longest duration, and the cause to close the connection then.
pub fn earliest<C>(waits: impl IntoIterator<Item = (Option<Wait>, Duration, C)>) -> Option<(Instant, C)> {
    let due = |(wait, longest, cause): (Option<Wait>, Duration, C)| Some((wait?.since.checked_add(longest)?, cause));
    waits.into_iter().filter_map(due).min_by_key(|(at, _)| *at)
}

/// Returns true if the server noticed a deadline so late that the wait has to begin again.
pub fn noticed_late(due: Instant, now: Instant) -> bool {
    now.saturating_duration_since(due) > NOTICED_LATE
}

/// Waits for `work`; returns `None` if it takes longer than `longest`. After a pause of the process the time begins again,
/// once, so that what has arrived meanwhile is read before it is judged.
pub async fn within<F: Future>(longest: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut timer = pin!(tokio::time::sleep(longest));
    let mut has_begun_again = false;
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        loop {
            let due = timer.deadline();
            ready!(timer.as_mut().poll(context));
            let now = tokio::time::Instant::now();
            if has_begun_again || !noticed_late(due.into_std(), now.into_std()) {
                return Poll::Ready(None);
            }
            has_begun_again = true;
            timer.as_mut().reset(now + longest);
        }
    })
    .await
}

/// The timer of a connection, for the deadline that comes first. One task polls it.
pub struct DeadlineTimer {
    sleep: Pin<Box<Sleep>>,
    /// The task is registered with the timer since it was set.
    is_awaited: bool,
}

impl DeadlineTimer {
    /// Returns a timer while nothing is due.
    ///
    /// # Panics
    /// Outside of a runtime with timers.
    #[must_use]
    pub fn new() -> DeadlineTimer {
        DeadlineTimer { sleep: Box::pin(tokio::time::sleep(FAR)), is_awaited: false }
    }

    /// Waits for the next deadline; returns the present instant when it may have passed. The timer is not moved when a
    /// deadline moves away: it expires early once then, and is set to the deadline of that time.
    pub fn poll(&mut self, next: Option<Instant>, context: &mut Context<'_>) -> Poll<Instant> {
        if let Some(next) = next.filter(|next| *next < self.sleep.deadline().into_std()) {
            self.set(next);
        }
        // A look at its state costs less than a poll for each request.
        if self.is_awaited && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        // Without a budget a poll returns before it registers the task.
        self.is_awaited = has_budget_remaining();
        ready!(self.sleep.as_mut().poll(context));
        let now = Instant::now();
        self.set(next.filter(|next| *next > now).unwrap_or(now + FAR));
        Poll::Ready(now)
    }

    fn set(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline.into());
        self.is_awaited = false;
    }
}

impl Default for DeadlineTimer {
    fn default() -> DeadlineTimer {
        DeadlineTimer::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_the_one_that_counts() {
        let (at, second) = (Instant::now(), Duration::from_secs(1));
        let wait = Some(Wait::begun(at));
        let waits = [(wait, 3 * second, 'a'), (None, second, 'b'), (wait, 2 * second, 'c')];
        assert_eq!(earliest(waits), Some((at + 2 * second, 'c')));
        assert_eq!(earliest([(None, second, 'a')]), None);
        assert_eq!(earliest([(wait, Duration::MAX, 'a')]), None, "a wait without an end");
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_begins_again_if_the_process_stood_still_beyond_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (longest, pause) = (Duration::from_millis(20), Duration::from_millis(400));
        let began = Instant::now();
        assert_eq!(runtime.block_on(within(longest, std::future::pending::<()>())), None);
        assert!(began.elapsed() >= longest);
        // The work is not done when the pause ends, and is done when it is looked at again.
        let mut polled = 0;
        let done = runtime.block_on(within(
            longest,
            poll_fn(|context| {
                polled += 1;
                match polled {
                    1 => std::thread::park_timeout(pause),
                    2 => context.waker().wake_by_ref(),
                    _ => return Poll::Ready(()),
                }
                Poll::Pending
            }),
        ));
        assert_eq!((done, polled), (Some(()), 3));
        // A process that is late each time does not wait for ever.
        let mut looks = 0;
        let never = runtime.block_on(within(
            longest,
            poll_fn(|_| -> Poll<()> {
                looks += 1;
                std::thread::park_timeout(pause);
                Poll::Pending
            }),
        ));
        assert!(never.is_none() && looks <= 3, "{looks}");
        let due = Instant::now();
        assert!(
            !noticed_late(due, due + NOTICED_LATE) && noticed_late(due, due + pause) && !noticed_late(due + pause, due)
        );
    }

    #[test]
    fn a_timer_expires_at_a_deadline_that_came_nearer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut timer = DeadlineTimer::new();
            assert!(poll_fn(|context| Poll::Ready(timer.poll(None, context))).await.is_pending());
            let next = Instant::now() + Duration::from_millis(5);
            let expired = poll_fn(|context| timer.poll(Some(next), context)).await;
            assert!(expired >= next);
            assert!(timer.sleep.deadline().into_std() > expired + Duration::from_secs(60), "nothing else is due");
        });
    }

    #[test]
    fn a_timer_that_was_polled_without_a_budget_still_wakes_its_task() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let mut timer = DeadlineTimer::new();
            let began = Instant::now();
            let next = began + Duration::from_millis(5);
            let spent = poll_fn(|context| {
                while let Poll::Ready(unit) = tokio::task::coop::poll_proceed(context) {
                    unit.made_progress();
                }
                Poll::Ready(timer.poll(Some(next), context))
            });
            assert!(spent.await.is_pending());
            let expired =
                tokio::time::timeout(Duration::from_secs(60), poll_fn(|context| timer.poll(Some(next), context)));
            assert!(expired.await.is_ok() && began.elapsed() < Duration::from_secs(30), "nothing woke the task");
        });
    }
}
