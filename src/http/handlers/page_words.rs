//! Problems in words for pages that were sent without a script: in the page's language, with what to do next. The words for
//! scripts are in `web/app/storefront/notice.ts`.

use maud::{Markup, html};

use crate::api::Problem;
use crate::api::problem::FieldError;
use crate::api::refusals::field_error;
use crate::engine::{Invalid, Refusal as EngineRefusal, SoldOut};
use crate::web::refusal::{NextStep, RefusalText, label_of};
use crate::web::{PageFrame, instant};

/// Returns a problem in words, and the next step. Every problem has them: a reader never gets a document for machines.
pub(in crate::http) fn refusal_of(frame: &PageFrame<'_>, problem: &Problem) -> (RefusalText, NextStep) {
    let text = |key| html! { (frame.language.text(key)) };
    let of = |title, body: Markup, next| (RefusalText { title: frame.language.text(title), text: body }, next);
    let repeat = |title| of(title, text("page.again"), NextStep::Repeat);
    match problem {
        Problem::Refused { refusal, .. } => engine_refusal(frame, refusal),
        Problem::Validation(errors) => invalid(frame, errors),
        Problem::BadHead(_)
        | Problem::Malformed(_)
        | Problem::BodyTooLarge { .. }
        | Problem::BodyTooSlow
        | Problem::UnsupportedMediaType
        | Problem::KeyMissing(_) => of("problem.other", text("page.malformed"), NextStep::Back),
        Problem::Unauthorized | Problem::TokenTooLong { .. } => {
            of("problem.unauthorized", text("drop.need_script"), NextStep::Back)
        }
        Problem::NotFound => of("problem.not-found", text("problem.not-found.text"), NextStep::Back),
        Problem::RateLimited { .. } | Problem::OverLimit(_) => repeat("problem.rate-limited"),
        Problem::Overloaded { .. } => repeat("problem.overloaded"),
        Problem::Draining => repeat("problem.draining"),
        Problem::ReadOnly => repeat("problem.read-only"),
        Problem::NotLeader { .. } | Problem::Behind { .. } => repeat("problem.not-leader"),
        Problem::OutcomeUnknown | Problem::Internal => {
            of("problem.outcome-unknown", text("page.unknown"), NextStep::Repeat)
        }
        Problem::ChallengeRequired(_) => of("problem.challenge-required", text("page.challenge"), NextStep::Back),
        Problem::BadSignature | Problem::Forbidden(_) | Problem::MethodNotAllowed { .. } | Problem::NodeConflict(_) => {
            of("problem.other", text("problem.other.text"), NextStep::Back)
        }
    }
}

fn engine_refusal(frame: &PageFrame<'_>, refusal: &EngineRefusal) -> (RefusalText, NextStep) {
    let language = frame.language;
    let of = |title, text: Markup, next| (RefusalText { title: language.text(title), text }, next);
    let plain = |title, key| of(title, html! { (language.text(key)) }, NextStep::Back);
    let number = |n: u32| html! { (language.count(n)) };
    match refusal {
        EngineRefusal::NotFound => plain("problem.not-found", "problem.not-found.text"),
        EngineRefusal::KeyReused => plain("problem.idempotency-key-reused", "problem.idempotency-key-reused.text"),
        EngineRefusal::NotStarted { starts_at } => {
            let text = language.filled_with("page.not_started", &[("at", instant(*starts_at))]);
            of("problem.not-started", text, NextStep::Repeat)
        }
        EngineRefusal::Ended { .. } => plain("problem.ended", "problem.ended.text"),
        EngineRefusal::DropPaused => {
            of("problem.drop-paused", html! { (language.text("page.paused")) }, NextStep::Repeat)
        }
        EngineRefusal::LimitReached { limit, used } => {
            let values = [("limit", number(*limit)), ("used", number(*used))];
            of("problem.limit-reached", language.filled_with("problem.limit-reached.text", &values), NextStep::Back)
        }
        EngineRefusal::IdentityLimitReached { limit, .. } => {
            let text = language.filled_with("problem.identity-limit-reached.text", &[("limit", number(*limit))]);
            of("problem.identity-limit-reached", text, NextStep::Back)
        }
        EngineRefusal::SoldOut(SoldOut { available, held, next_expiry_at, .. }) => {
            let values = [("available", number(*available)), ("held", number(*held))];
            let text = html! {
                (language.filled_with("problem.sold-out.text", &values))
                @if let Some(at) = next_expiry_at { " " (language.filled_with("page.next_return", &[("at", instant(*at))])) }
            };
            of("problem.sold-out", text, NextStep::Repeat)
        }
        EngineRefusal::AllSold { .. } => {
            let values = [("available", number(0)), ("held", number(0))];
            of("problem.sold-out", language.filled_with("problem.sold-out.text", &values), NextStep::Back)
        }
        EngineRefusal::NotAdmitted { .. } => plain("problem.not-admitted", "problem.not-admitted.text"),
        EngineRefusal::NotOpen { .. } => {
            of("problem.not-open", html! { (language.text("problem.not-open.text")) }, NextStep::Repeat)
        }
        EngineRefusal::OrderExpired { .. } => plain("problem.order-expired", "problem.order-expired.text"),
        EngineRefusal::IllegalTransition { .. } | EngineRefusal::MismatchStands { .. } => {
            plain("problem.illegal-transition", "problem.illegal-transition.text")
        }
        EngineRefusal::BidTooLow { .. }
        | EngineRefusal::ExposureReached { .. }
        | EngineRefusal::BeaconNotTaken { .. }
        | EngineRefusal::PreconditionFailed { .. } => plain("problem.other", "problem.other.text"),
        EngineRefusal::Invalid(Invalid::StandbyFull) => plain("problem.standby-full", "problem.standby-full.text"),
        EngineRefusal::Invalid(Invalid::TooManyTickets) => plain("problem.room-full", "problem.room-full.text"),
        EngineRefusal::Invalid(mistake) => invalid(frame, &[field_error(mistake)]),
    }
}

/// Tells the fields that are mistaken, by their labels.
fn invalid(frame: &PageFrame<'_>, errors: &[FieldError]) -> (RefusalText, NextStep) {
    let language = frame.language;
    let title = language.text("problem.validation");
    let mut labels: Vec<&str> =
        errors.iter().filter_map(|error| label_of(&error.pointer)).map(|key| language.text(key)).collect();
    labels.dedup();
    if labels.is_empty() {
        return (RefusalText { title, text: html! { (language.text("page.malformed")) } }, NextStep::Back);
    }
    let text = html! { (language.filled("problem.validation.text", &[("fields", &labels.join(", "))])) };
    (RefusalText { title, text }, NextStep::Correct)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Invalid;
    use crate::types::{
        Amount, ChallengeDemand, ChallengeKind, ChallengeReason, DropState, IdentityKind, OrderState, PolicyState, Seq,
        UnitPrice, UnixMillis,
    };
    use crate::web::words::Language;

    fn frame(language: &str) -> PageFrame<'static> {
        PageFrame {
            language: Language::of("", language),
            path: "/",
            shop_name: "Shop",
            has_shop: true,
            is_demo: true,
            needs_token: false,
            login_url: "",
            now: UnixMillis::ZERO,
        }
    }

    fn refused(refusal: EngineRefusal) -> Problem {
        Problem::Refused { refusal, as_of_seq: Seq::ZERO, at: UnixMillis::ZERO }
    }

    fn engine_refusals() -> Vec<Problem> {
        let at = UnixMillis::ZERO;
        let price = UnitPrice::new(5).expect("a price");
        [
            EngineRefusal::NotFound,
            EngineRefusal::KeyReused,
            EngineRefusal::NotStarted { starts_at: at },
            EngineRefusal::NotAdmitted { position: None, serving: 0 },
            EngineRefusal::NotOpen { opens_at: at },
            EngineRefusal::Ended { ends_at: at },
            EngineRefusal::DropPaused,
            EngineRefusal::LimitReached { limit: 2, used: 1 },
            EngineRefusal::IdentityLimitReached { identity: IdentityKind::Email, limit: 2 },
            EngineRefusal::SoldOut(SoldOut { available: 1, held: 2, next_expiry_at: Some(at), standby: 0 }),
            EngineRefusal::AllSold { standby: 0 },
            EngineRefusal::OrderExpired { expired_at: at },
            EngineRefusal::IllegalTransition { from: OrderState::Paid, to: OrderState::Cancelled },
            EngineRefusal::MismatchStands { from: DropState::Paused },
            EngineRefusal::BidTooLow { current: price, minimum_next: price, ends_at: at },
            EngineRefusal::ExposureReached { limit: Amount::ZERO, used: Amount::ZERO },
            EngineRefusal::PreconditionFailed { revision: 1 },
            EngineRefusal::Invalid(Invalid::EndBeforeStart),
        ]
        .map(refused)
        .into()
    }

    fn problems() -> Vec<Problem> {
        let demand = ChallengeDemand {
            kind: ChallengeKind::ProofOfWork,
            reason: ChallengeReason::Missing,
            url: "".into(),
            site_key: "".into(),
        };
        let mut all = vec![
            Problem::BadHead("x"),
            Problem::Malformed("x".into()),
            Problem::invalid("/contact/email", "x"),
            Problem::invalid("/nothing", "x"),
            Problem::KeyMissing("x"),
            Problem::Unauthorized,
            Problem::TokenTooLong { max: 1 },
            Problem::BadSignature,
            Problem::Forbidden("x"),
            Problem::NotFound,
            Problem::MethodNotAllowed { allow: "GET".into() },
            Problem::BodyTooLarge { max: 1 },
            Problem::BodyTooSlow,
            Problem::UnsupportedMediaType,
            Problem::RateLimited { in_flight_max: 1 },
            Problem::OverLimit(Vec::<PolicyState>::new().into()),
            Problem::Overloaded { queue_depth: 1, retry_after: Duration::from_secs(1) },
            Problem::Draining,
            Problem::ReadOnly,
            Problem::OutcomeUnknown,
            Problem::Internal,
            Problem::NotLeader { leader: None, location: None },
            Problem::ChallengeRequired(Box::new(demand)),
        ];
        all.extend(engine_refusals());
        all
    }

    #[test]
    fn every_problem_is_told_in_the_reader_s_language_and_what_may_be_repeated_says_so() {
        for problem in problems() {
            let told = |language| {
                let (refusal, next) = refusal_of(&frame(language), &problem);
                (refusal.title, refusal.text.into_string(), next)
            };
            let ((title, text, next), (other_title, other_text, _)) = (told("en"), told("vi"));
            assert!(title != other_title && text != other_text, "{problem:?}: {other_title}: {other_text}");
            for part in [title, other_title, text.as_str(), other_text.as_str()] {
                assert!(!part.contains("problem.") && !part.contains("page.") && !part.contains('{'), "{part}");
            }
            // What tells a time to come back is worth another try.
            let waits = problem.retry_after(UnixMillis::ZERO).is_some();
            assert!(!waits || next == NextStep::Repeat, "{problem:?}");
        }
        let (refusal, next) = refusal_of(&frame("vi"), &Problem::invalid("/contact/address", "must be shorter"));
        assert_eq!((refusal.text.into_string().as_str(), next), ("Vui lòng kiểm tra lại: Địa chỉ.", NextStep::Correct));
    }
}
